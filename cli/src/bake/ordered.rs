//! JSON whose members keep the order they were given, printed as Docker prints it.

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};

use super::value::go_json;

/// JSON in order.
#[derive(Clone, Debug)]
pub enum Ordered {
    /// An object.
    Map(Vec<(String, Ordered)>),
    /// A list.
    List(Vec<Ordered>),
    /// Anything else, or what has no order to keep.
    Leaf(serde_json::Value),
}

impl Ordered {
    /// Indented by two.
    pub fn pretty(&self) -> String {
        go_json(&serde_json::to_string_pretty(self).unwrap_or_default())
    }

    /// Texts in a list.
    pub fn texts(texts: &[String]) -> Self {
        Self::List(texts.iter().map(|text| Self::from(text.as_str())).collect())
    }
}

impl From<&str> for Ordered {
    fn from(text: &str) -> Self {
        Self::Leaf(text.into())
    }
}

impl Serialize for Ordered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Map(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
            Self::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                values.iter().try_for_each(|value| list.serialize_element(value))?;
                list.end()
            }
            Self::Leaf(value) => value.serialize(serializer),
        }
    }
}
