//! Types of variables: `string`, `list(number)`, `object({ name = string })`, …

use std::collections::BTreeMap;

use wharf_builder::settings::truth;

use super::number::Number;
use super::place::{Complaint, Result};
use super::syntax::{Expression, What};
use super::value::Value;
use crate::csv;

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Whatever.
    Any,
    /// Text.
    String,
    /// A number.
    Number,
    /// A truth.
    Bool,
    /// Values of one type, in order.
    List(Box<Type>),
    /// Values of one type, each once.
    Set(Box<Type>),
    /// Values of one type, by name.
    Map(Box<Type>),
    /// Values of these types, in order.
    Tuple(Vec<Type>),
    /// Values of these types by these names; those with `true` may be missing.
    Object(BTreeMap<String, (Type, bool)>),
}

const WORDS: [&str; 9] = ["any", "string", "number", "bool", "list", "set", "map", "tuple", "object"];

impl Type {
    /// The type that an expression names.
    pub fn parse(expression: &Expression) -> Result<Self> {
        let place = expression.place;
        let unknown = |word: &str| {
            Complaint::at(place, format!("`{word}` is no type"))
                .nearest(word, WORDS)
                .note("types are string, number, bool, any, list(…), set(…), map(…), tuple([…]) and object({…})")
        };
        match &expression.what {
            // In JSON a type is a string.
            What::Literal(Value::String(text)) => match super::hcl::expression(text, place) {
                Some(inner) if !matches!(inner.what, What::Literal(_)) => Self::parse(&inner),
                Some(_) | None => Err(unknown(text)),
            },
            What::Name(word) => match word.as_str() {
                "any" => Ok(Self::Any),
                "string" => Ok(Self::String),
                "number" => Ok(Self::Number),
                "bool" => Ok(Self::Bool),
                "list" | "set" | "map" | "tuple" | "object" => {
                    Err(Complaint::at(place, format!("`{word}` needs to say of what"))
                        .help(format!("write {}", shape(word))))
                }
                other => Err(unknown(other)),
            },
            What::Call(call) => match (call.name.as_str(), call.arguments.as_slice()) {
                ("list", [of]) => Ok(Self::List(Box::new(Self::parse(of)?))),
                ("set", [of]) => Ok(Self::Set(Box::new(Self::parse(of)?))),
                ("map", [of]) => Ok(Self::Map(Box::new(Self::parse(of)?))),
                ("tuple", [Expression { what: What::List(of), .. }]) => {
                    Ok(Self::Tuple(of.iter().map(Self::parse).collect::<Result<_>>()?))
                }
                ("object", [Expression { what: What::Map(of), .. }]) => {
                    let member = |(name, of): &(Expression, Expression)| match &name.what {
                        What::Literal(Value::String(name)) => Ok((name.clone(), Self::member(of)?)),
                        _ => Err(Complaint::at(name.place, "an object's type has plain names")),
                    };
                    Ok(Self::Object(of.iter().map(member).collect::<Result<_>>()?))
                }
                (word @ ("list" | "set" | "map" | "tuple" | "object"), _) => {
                    Err(Complaint::at(place, format!("`{word}` is not written so"))
                        .help(format!("write {}", shape(word))))
                }
                (other, _) => Err(unknown(other)),
            },
            _ => Err(Complaint::at(place, "this is no type").help("write a word, not a string: type = string")),
        }
    }

    fn member(expression: &Expression) -> Result<(Self, bool)> {
        match &expression.what {
            What::Call(call) if call.name == "optional" => match call.arguments.as_slice() {
                [of] => Ok((Self::parse(of)?, true)),
                _ => Err(Complaint::at(expression.place, "`optional` takes one type")),
            },
            _ => Ok((Self::parse(expression)?, false)),
        }
    }

    /// The value as one of this type, or why it is none.
    pub fn convert(&self, value: &Value) -> std::result::Result<Value, String> {
        if *value == Value::Null {
            return Ok(Value::Null);
        }
        let wrong = || format!("{} is to be {self}", value.kind());
        let elements = || match value {
            Value::List(all) | Value::Set(all) => Ok(all.as_slice()),
            _ => Err(wrong()),
        };
        let all = |of: &Self| elements()?.iter().map(|one| of.convert(one)).collect::<std::result::Result<Vec<_>, _>>();
        match self {
            Self::Any => Ok(value.clone()),
            Self::String => value.to_text().map(Value::String).ok_or_else(wrong),
            Self::Number => value.to_number().map(Value::Number).ok_or_else(wrong),
            Self::Bool => value.to_bool().map(Value::Bool).ok_or_else(wrong),
            Self::List(of) => Ok(Value::List(all(of)?)),
            Self::Set(of) => Ok(Value::set(all(of)?)),
            Self::Map(of) => match value {
                Value::Map(map) => {
                    let member = |(name, value): (&String, &Value)| Ok((name.clone(), of.convert(value)?));
                    Ok(Value::Map(map.iter().map(member).collect::<std::result::Result<_, String>>()?))
                }
                _ => Err(wrong()),
            },
            Self::Tuple(of) => {
                let elements = elements()?;
                if elements.len() != of.len() {
                    return Err(format!("a list of {} is to be {self}", elements.len()));
                }
                let each = of.iter().zip(elements).map(|(of, one)| of.convert(one));
                Ok(Value::List(each.collect::<std::result::Result<_, _>>()?))
            }
            Self::Object(of) => {
                let Value::Map(map) = value else { return Err(wrong()) };
                let member = |(name, (of, optional)): (&String, &(Self, bool))| match map.get(name) {
                    Some(value) => Ok((name.clone(), of.convert(value)?)),
                    None if *optional => Ok((name.clone(), Value::Null)),
                    None => Err(format!("`{name}` is missing")),
                };
                Ok(Value::Map(of.iter().map(member).collect::<std::result::Result<_, _>>()?))
            }
        }
    }

    /// The value that the text of an environment variable stands for.
    pub fn read(&self, text: &str) -> std::result::Result<Value, String> {
        match self {
            Self::Any | Self::String => Ok(Value::text(text)),
            Self::Number => Number::parse(text).map(Value::Number).ok_or_else(|| format!("`{text}` is not a number")),
            Self::Bool => truth(text).map(Value::Bool).ok_or_else(|| format!("`{text}` is not true or false")),
            Self::List(of) if of.primitive() => Ok(Value::List(of.read_all(text)?)),
            Self::Set(of) if of.primitive() => Ok(Value::set(of.read_all(text)?)),
            Self::Tuple(of) if of.iter().all(Self::primitive) => {
                let fields = fields(text, ',')?;
                if fields.len() != of.len() {
                    return Err(format!("`{text}` has {} fields, and {self} has {}", fields.len(), of.len()));
                }
                let each = of.iter().zip(&fields).map(|(of, field)| of.read(field));
                Ok(Value::List(each.collect::<std::result::Result<_, _>>()?))
            }
            Self::Map(of) if of.primitive() => {
                let pair = |field: &String| match fields(field, ':')?.as_slice() {
                    [key, value] => Ok((key.clone(), of.read(value)?)),
                    _ => Err(format!("`{field}` is not KEY:VALUE")),
                };
                let fields = fields(text, ',')?;
                Ok(Value::Map(fields.iter().map(pair).collect::<std::result::Result<_, String>>()?))
            }
            Self::List(_) | Self::Set(_) | Self::Tuple(_) | Self::Map(_) | Self::Object(_) => {
                Err(format!("{self} cannot be written as plain text"))
            }
        }
    }

    fn read_all(&self, text: &str) -> std::result::Result<Vec<Value>, String> {
        fields(text, ',')?.iter().map(|field| self.read(field)).collect()
    }

    fn primitive(&self) -> bool {
        matches!(self, Self::String | Self::Number | Self::Bool)
    }
}

fn shape(word: &str) -> &'static str {
    match word {
        "tuple" => "tuple([string, number])",
        "object" => "object({ name = string })",
        "map" => "map(string)",
        "set" => "set(string)",
        _ => "list(string)",
    }
}

/// As Docker writes it.
impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("any type"),
            Self::String => f.write_str("string"),
            Self::Number => f.write_str("number"),
            Self::Bool => f.write_str("bool"),
            Self::List(of) => write!(f, "list of {of}"),
            Self::Set(of) => write!(f, "set of {of}"),
            Self::Map(of) => write!(f, "map of {of}"),
            Self::Tuple(_) => f.write_str("tuple"),
            Self::Object(_) => f.write_str("object"),
        }
    }
}

fn fields(text: &str, separator: char) -> std::result::Result<Vec<String>, String> {
    csv::split(text, separator).ok_or_else(|| format!("the quotes in `{text}` do not go together"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_what_the_type_says() {
        let list = |of: Type| Type::List(Box::new(of));
        for (wanted, text, json) in [
            (Type::String, "1", r#""1""#),
            (Type::Number, "1.5", "1.5"),
            (Type::Bool, "1", "true"),
            (list(Type::Number), "1,2", "[1,2]"),
            (list(Type::String), r#"a,"b,c""#, r#"["a","b,c"]"#),
            (Type::Set(Box::new(Type::String)), "b,a,b", r#"["a","b"]"#),
            (Type::Map(Box::new(Type::Bool)), "a:true,b:0", r#"{"a":true,"b":false}"#),
            (Type::Tuple(vec![Type::String, Type::Number]), "a,7", r#"["a",7]"#),
        ] {
            assert_eq!(wanted.read(text).unwrap().to_json().to_string(), json, "{text}");
        }
        for (wanted, text) in [
            (Type::Number, "x"),
            (Type::Bool, "yes"),
            (list(list(Type::String)), "a"),
            (Type::Tuple(vec![Type::String]), "a,b"),
            (Type::Map(Box::new(Type::String)), "a"),
        ] {
            assert!(wanted.read(text).is_err(), "{text}");
        }
    }
}
