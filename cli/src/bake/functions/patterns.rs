//! Regular expressions.

use regex::{Captures, Regex};

use super::{Given, Wrong, blame, exactly, text_of};
use crate::bake::value::Value;

fn compiled(arguments: &[Value], index: usize) -> Result<Regex, Wrong> {
    Regex::new(&text_of(arguments, index)?).map_err(|error| blame(index, error.to_string()))
}

/// The whole match where the pattern has no groups, a map where they have names, else a list.
fn captured(pattern: &Regex, found: &Captures<'_>) -> Value {
    let text = |group: Option<regex::Match<'_>>| group.map_or(Value::Null, |group| Value::text(group.as_str()));
    if pattern.captures_len() == 1 {
        return text(found.get(0));
    }
    let named: Vec<_> = pattern.capture_names().flatten().collect();
    if named.is_empty() {
        Value::List((1..found.len()).map(|index| text(found.get(index))).collect())
    } else {
        Value::Map(named.into_iter().map(|name| (name.to_owned(), text(found.name(name)))).collect())
    }
}

pub(super) fn regex(arguments: &[Value]) -> Given {
    exactly::<2>(arguments)?;
    let (pattern, text) = (compiled(arguments, 0)?, text_of(arguments, 1)?);
    let found = pattern.captures(&text).ok_or_else(|| blame(1, "the pattern does not match"))?;
    Ok(captured(&pattern, &found))
}

pub(super) fn regexall(arguments: &[Value]) -> Given {
    exactly::<2>(arguments)?;
    let (pattern, text) = (compiled(arguments, 0)?, text_of(arguments, 1)?);
    Ok(Value::List(pattern.captures_iter(&text).map(|found| captured(&pattern, &found)).collect()))
}

pub(super) fn regex_replace(arguments: &[Value]) -> Given {
    exactly::<3>(arguments)?;
    let (text, pattern, with) = (text_of(arguments, 0)?, compiled(arguments, 1)?, text_of(arguments, 2)?);
    Ok(Value::text(pattern.replace_all(&text, with.as_str())))
}
