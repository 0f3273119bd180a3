//! Values of bake files, and how one kind becomes another.
//!
//! Lists and tuples are one kind here, and so are maps and objects: nothing a bake file can see tells them apart. Maps go by
//! the order of their keys, which makes every result the same on every run.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::number::Number;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    String(String),
    /// Values in order.
    List(Vec<Value>),
    /// Values each once, in their own order.
    Set(Vec<Value>),
    /// Values by name.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// A whole number.
    pub fn int(whole: i128) -> Self {
        Self::Number(Number::Int(whole))
    }

    /// How many of something.
    pub fn count(count: usize) -> Self {
        Self::Number(Number::Int(i128::try_from(count).unwrap_or(i128::MAX)))
    }

    /// Each value once, in order.
    pub fn set(mut values: Vec<Value>) -> Self {
        values.sort();
        values.dedup();
        Self::Set(values)
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a bool",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Set(_) => "a set",
            Self::Map(_) => "a map",
        }
    }

    /// As text: only what is a single value has one.
    pub fn to_text(&self) -> Option<String> {
        match self {
            Self::String(text) => Some(text.clone()),
            Self::Number(number) => Some(number.to_string()),
            Self::Bool(truth) => Some(truth.to_string()),
            Self::Null | Self::List(_) | Self::Set(_) | Self::Map(_) => None,
        }
    }

    /// As a number; text that reads as one is one.
    pub fn to_number(&self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(*number),
            Self::String(text) => Number::parse(text),
            Self::Null | Self::Bool(_) | Self::List(_) | Self::Set(_) | Self::Map(_) => None,
        }
    }

    /// As a truth; the words `true` and `false` are, too, and `1` and `0` as text.
    pub fn to_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            Self::String(text) => match text.as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            Self::Null | Self::Number(_) | Self::List(_) | Self::Set(_) | Self::Map(_) => None,
        }
    }

    /// The elements of a list or a set.
    pub fn elements(&self) -> Option<&[Value]> {
        match self {
            Self::List(values) | Self::Set(values) => Some(values),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) | Self::Map(_) => None,
        }
    }

    /// Keys and values of whatever can be gone through.
    pub fn pairs(&self) -> Option<Vec<(Value, Value)>> {
        match self {
            Self::List(values) => {
                Some(values.iter().enumerate().map(|(index, value)| (Self::count(index), value.clone())).collect())
            }
            Self::Set(values) => Some(values.iter().map(|value| (value.clone(), value.clone())).collect()),
            Self::Map(values) => {
                Some(values.iter().map(|(key, value)| (Self::text(key.clone()), value.clone())).collect())
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => None,
        }
    }

    /// In JSON.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(truth) => Json::Bool(*truth),
            Self::Number(number) => serde_json::from_str(&number.to_string()).unwrap_or(Json::Null),
            Self::String(text) => Json::String(text.clone()),
            Self::List(values) | Self::Set(values) => Json::Array(values.iter().map(Self::to_json).collect()),
            Self::Map(values) => {
                Json::Object(values.iter().map(|(key, value)| (key.clone(), value.to_json())).collect::<Map<_, _>>())
            }
        }
    }

    /// From JSON.
    pub fn from_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(truth) => Self::Bool(*truth),
            Json::Number(number) => Number::parse(&number.to_string()).map_or(Self::Null, Self::Number),
            Json::String(text) => Self::text(text.clone()),
            Json::Array(values) => Self::List(values.iter().map(Self::from_json).collect()),
            Json::Object(values) => {
                Self::Map(values.iter().map(|(key, value)| (key.clone(), Self::from_json(value))).collect())
            }
        }
    }
}

/// Go's way to write JSON, which is what Docker's users compare with: these stand as escapes in strings.
pub fn go_json(text: &str) -> String {
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}
