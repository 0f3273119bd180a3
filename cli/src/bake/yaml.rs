//! YAML with places. Anchors and merge keys are resolved when it is read; what they bring stands where it is used.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::place::{BakeFile, Complaint, Place, Result};

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub what: Yaml,
}

/// The kinds of values.
#[derive(Clone, Debug)]
pub enum Yaml {
    /// Nothing.
    Null,
    /// A truth.
    Bool(bool),
    /// A number, or any other single value, as text.
    Text(String),
    /// Values in order.
    List(Vec<Node>),
    /// Values by name, in order.
    Map(Vec<(String, Place, Node)>),
}

impl Node {
    /// A member of a map.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.members().iter().find(|(known, ..)| known == name).map(|(.., node)| node)
    }

    /// The members of a map; none of anything else.
    pub fn members(&self) -> &[(String, Place, Node)] {
        match &self.what {
            Yaml::Map(members) => members,
            Yaml::Null | Yaml::Bool(_) | Yaml::Text(_) | Yaml::List(_) => &[],
        }
    }

    /// The same, to be changed.
    pub fn members_mut(&mut self) -> &mut [(String, Place, Node)] {
        match &mut self.what {
            Yaml::Map(members) => members,
            Yaml::Null | Yaml::Bool(_) | Yaml::Text(_) | Yaml::List(_) => &mut [],
        }
    }

    /// Gives a map this member, instead of what it had of that name. What was no map is one then.
    pub fn put(&mut self, name: &str, place: Place, node: Node) {
        match &mut self.what {
            Yaml::Map(members) => match members.iter_mut().find(|(known, ..)| known == name) {
                Some((.., known)) => *known = node,
                None => members.push((name.to_owned(), place, node)),
            },
            Yaml::Null | Yaml::Bool(_) | Yaml::Text(_) | Yaml::List(_) => {
                self.what = Yaml::Map(vec![(name.to_owned(), place, node)]);
            }
        }
    }

    /// A single value as text.
    pub fn text(&self) -> Option<String> {
        match &self.what {
            Yaml::Text(text) => Some(text.clone()),
            Yaml::Bool(truth) => Some(truth.to_string()),
            Yaml::Null | Yaml::List(_) | Yaml::Map(_) => None,
        }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.what {
            Yaml::Null => "empty",
            Yaml::Bool(_) => "true or false",
            Yaml::Text(_) => "a single value",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a map",
        }
    }
}

/// Reads a file.
pub fn parse(file: usize, source: &BakeFile) -> Result<Node> {
    // `yes` is a word here, as it is in today's YAML.
    let options = serde_saphyr::options! { strict_booleans: true };
    let read: std::result::Result<Spanned<Raw>, _> = serde_saphyr::from_str_with_options(&source.text, options);
    match read {
        Ok(node) => Ok(placed(node, file)),
        Err(error) => {
            let place = error.location().map_or_else(|| Place::new(file, 0..1), |at| place(at, file));
            // The library shows the source itself; here that is done for all files alike.
            let said = error.without_snippet().to_string();
            let said = said.split(" at line").next().and_then(|said| said.split(", set ").next()).unwrap_or_default();
            Err(Complaint::at(place, "this is not YAML").expected(said.lines().next().unwrap_or_default()))
        }
    }
}

fn place(location: Location, file: usize) -> Place {
    let span = location.span();
    let start = usize::try_from(span.byte_offset().unwrap_or_default()).unwrap_or_default();
    let length = usize::try_from(span.byte_len().unwrap_or(1)).unwrap_or(1);
    Place::new(file, start..start + length.max(1))
}

fn placed(Spanned { value, referenced, .. }: Spanned<Raw>, file: usize) -> Node {
    let what = match value {
        Raw::Null => Yaml::Null,
        Raw::Bool(truth) => Yaml::Bool(truth),
        Raw::Text(text) => Yaml::Text(text),
        Raw::List(nodes) => Yaml::List(nodes.into_iter().map(|node| placed(node, file)).collect()),
        Raw::Map(members) => {
            let member =
                |(name, node): (Spanned<String>, _)| (name.value, place(name.referenced, file), placed(node, file));
            Yaml::Map(members.into_iter().map(member).collect())
        }
    };
    Node { place: place(referenced, file), what }
}

enum Raw {
    Null,
    Bool(bool),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> std::result::Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> std::result::Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, truth: bool) -> std::result::Result<Raw, E> {
        Ok(Raw::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> std::result::Result<Raw, E> {
        Ok(Raw::Text(number.to_string()))
    }

    fn visit_u64<E>(self, number: u64) -> std::result::Result<Raw, E> {
        Ok(Raw::Text(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> std::result::Result<Raw, E> {
        Ok(Raw::Text(number.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> std::result::Result<Raw, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = access.next_element()? {
            nodes.push(node);
        }
        Ok(Raw::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> std::result::Result<Raw, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Raw::Map(members))
    }
}
