//! What the environment and `--var` say of variables, and how variables are listed.

use super::definition::Definition;
use super::ordered::Ordered;
use super::place::Result;
use super::resolve::Resolver;
use super::types::Type;
use super::value::Value;

/// The value that is given for a variable from outside: as it is in `NAME`, as JSON in `NAME_JSON`. None when nobody says
/// anything.
pub fn given(
    name: &str,
    (constraint, default): (Option<&Type>, Option<&Value>),
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Option<std::result::Result<Value, String>> {
    let (plain, json) = (lookup(name), || lookup(&format!("{name}_JSON")));
    // With a type, JSON says more than text could.
    let from_json = if constraint.is_some() || plain.is_none() { json() } else { None };
    match (constraint, from_json, plain) {
        (_, None, None) => None,
        (Some(constraint), Some(text), _) => Some(
            serde_json::from_str(&text)
                .map_err(|error| format!("{name}_JSON is not JSON: {error}"))
                .and_then(|read| constraint.convert(&Value::from_json(&read))),
        ),
        (Some(constraint), None, Some(text)) => Some(constraint.read(&text)),
        (None, Some(text), _) | (None, None, Some(text)) => Some(match default {
            None | Some(Value::String(_) | Value::Null) => Ok(Value::String(text)),
            Some(Value::Number(_)) => Type::Number.read(&text),
            Some(Value::Bool(_)) => Type::Bool.read(&text),
            Some(other @ (Value::List(_) | Value::Set(_) | Value::Map(_))) => {
                Err(format!("its default is {}, so it needs a type: type = list(string)", other.kind()))
            }
        }),
    }
}

/// A variable as it is listed.
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its type, when it says one.
    pub kind: String,
    /// Its value, unless it is null.
    pub value: Option<String>,
    /// What it is for.
    pub description: String,
}

impl Listed {
    /// All of them by name.
    pub fn all(definition: &Definition, resolver: &Resolver<'_>) -> Result<Vec<Self>> {
        let list = |(name, variable): (&String, &super::definition::Variable)| {
            let value = resolver.variable_value(name, variable.place)?;
            let kind = variable.constraint.as_ref().map(Type::parse).transpose()?;
            let text = match &value {
                Value::Null => None,
                Value::List(_) | Value::Set(_) | Value::Map(_) => {
                    Some(super::value::go_json(&value.to_json().to_string()))
                }
                Value::String(_) | Value::Number(_) | Value::Bool(_) => value.to_text(),
            };
            let description = variable.description.as_ref().map(|words| resolver.words(words)).transpose()?;
            Ok(Self {
                name: name.clone(),
                kind: kind.map(|kind| kind.to_string()).unwrap_or_default(),
                value: text,
                description: description.unwrap_or_default(),
            })
        };
        definition.variables.iter().map(list).collect()
    }

    /// As Docker prints it.
    pub fn json(&self) -> Ordered {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let members = [
            ("name", Some(self.name.clone())),
            ("description", some(&self.description)),
            ("type", some(&self.kind)),
            ("value", self.value.clone()),
        ];
        let said =
            members.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Ordered::from(text?.as_str()))));
        Ordered::Map(said.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_read_by_type_or_default() {
        let given = |constraint: Option<Type>, default: Option<Value>, variables: &[(&str, &str)]| {
            let lookup =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
            given("V", (constraint.as_ref(), default.as_ref()), &lookup)
                .map(|value| value.map(|value| value.to_json().to_string()))
        };
        let ok = |text: &str| Some(Ok(text.to_owned()));
        let list = || Some(Type::List(Box::new(Type::Number)));
        assert_eq!(given(None, None, &[]), None);
        assert_eq!(given(None, None, &[("V", "1")]), ok("\"1\""));
        assert_eq!(given(None, Some(Value::int(2)), &[("V", "1")]), ok("1"));
        assert_eq!(given(list(), None, &[("V", "1,2")]), ok("[1,2]"));
        assert_eq!(given(list(), None, &[("V", "1,2"), ("V_JSON", "[3]")]), ok("[3]"));
        assert_eq!(given(None, None, &[("V", "plain"), ("V_JSON", "[3]")]), ok("\"plain\""));
        assert_eq!(given(None, None, &[("V_JSON", "[3]")]), ok("\"[3]\""));
        assert!(given(None, Some(Value::List(Vec::new())), &[("V", "a")]).unwrap().is_err());
        assert!(given(list(), None, &[("V_JSON", "[")]).unwrap().is_err());
    }
}
