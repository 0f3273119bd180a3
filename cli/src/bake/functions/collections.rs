//! Lists and maps.

use std::collections::BTreeMap;

use super::{Given, Wrong, blame, exactly, list_of, map_of, mismatch, text_of, texts_of, whole_of};
use crate::bake::value::Value;

pub(super) fn chunklist(arguments: &[Value]) -> Given {
    exactly::<2>(arguments)?;
    let (list, size) = (list_of(arguments, 0)?, whole_of(arguments, 1)?);
    let size = usize::try_from(size).map_err(|_| blame(1, "this is no size"))?;
    if size == 0 {
        let all = if list.is_empty() { Vec::new() } else { vec![Value::List(list.to_vec())] };
        return Ok(Value::List(all));
    }
    Ok(Value::List(list.chunks(size).map(|chunk| Value::List(chunk.to_vec())).collect()))
}

pub(super) fn coalesce(arguments: &[Value]) -> Given {
    let found = arguments.iter().find(|value| **value != Value::Null).cloned();
    found.ok_or_else(|| Wrong::from("none of these has a value"))
}

pub(super) fn coalescelist(arguments: &[Value]) -> Given {
    for index in 0..arguments.len() {
        if arguments[index] != Value::Null && !list_of(arguments, index)?.is_empty() {
            return Ok(arguments[index].clone());
        }
    }
    Err(Wrong::from("all of these are empty"))
}

pub(super) fn compact(arguments: &[Value]) -> Given {
    exactly::<1>(arguments)?;
    let fine = |value: &&Value| **value != Value::Null && value.to_text().is_none_or(|text| !text.is_empty());
    Ok(Value::List(list_of(arguments, 0)?.iter().filter(fine).cloned().collect()))
}

pub(super) fn concat(arguments: &[Value]) -> Given {
    let mut all = Vec::new();
    for index in 0..arguments.len() {
        all.extend(list_of(arguments, index)?.iter().cloned());
    }
    Ok(Value::List(all))
}

pub(super) fn contains(arguments: &[Value]) -> Given {
    let [_, wanted] = exactly(arguments)?;
    Ok(Value::Bool(list_of(arguments, 0)?.contains(wanted)))
}

pub(super) fn distinct(arguments: &[Value]) -> Given {
    exactly::<1>(arguments)?;
    let mut once: Vec<Value> = Vec::new();
    for value in list_of(arguments, 0)? {
        if !once.contains(value) {
            once.push(value.clone());
        }
    }
    Ok(Value::List(once))
}

/// An index beyond the end starts again at the beginning.
pub(super) fn element(arguments: &[Value]) -> Given {
    exactly::<2>(arguments)?;
    let (list, index) = (list_of(arguments, 0)?, whole_of(arguments, 1)?);
    let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
    if length == 0 {
        return Err(blame(0, "the list is empty"));
    }
    let at = usize::try_from(index.rem_euclid(length)).unwrap_or_default();
    Ok(list[at].clone())
}

pub(super) fn flatten(arguments: &[Value]) -> Given {
    exactly::<1>(arguments)?;
    let mut flat = Vec::new();
    flatten_into(list_of(arguments, 0)?, &mut flat);
    Ok(Value::List(flat))
}

fn flatten_into(values: &[Value], flat: &mut Vec<Value>) {
    for value in values {
        match value.elements() {
            Some(inner) => flatten_into(inner, flat),
            None => flat.push(value.clone()),
        }
    }
}

pub(super) fn hasindex(arguments: &[Value]) -> Given {
    let [from, key] = exactly(arguments)?;
    Ok(Value::Bool(at(from, key).is_some()))
}

fn at<'v>(from: &'v Value, key: &Value) -> Option<&'v Value> {
    match from {
        Value::List(list) => list.get(key.to_number()?.index()?),
        Value::Map(map) => map.get(&key.to_text()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Set(_) => None,
    }
}

pub(super) fn index(arguments: &[Value]) -> Given {
    let [from, key] = exactly(arguments)?;
    at(from, key).cloned().ok_or_else(|| blame(1, "there is nothing at this place"))
}

pub(super) fn indexof(arguments: &[Value]) -> Given {
    let [_, wanted] = exactly(arguments)?;
    let found = list_of(arguments, 0)?.iter().position(|value| value == wanted);
    found.map(Value::count).ok_or_else(|| blame(1, "this is not in the list"))
}

pub(super) fn keys(arguments: &[Value]) -> Given {
    exactly::<1>(arguments)?;
    Ok(Value::List(map_of(arguments, 0)?.keys().map(|key| Value::text(key.clone())).collect()))
}

pub(super) fn values(arguments: &[Value]) -> Given {
    exactly::<1>(arguments)?;
    Ok(Value::List(map_of(arguments, 0)?.values().cloned().collect()))
}

pub(super) fn length(arguments: &[Value]) -> Given {
    let [of] = exactly(arguments)?;
    match of {
        Value::List(all) | Value::Set(all) => Ok(Value::count(all.len())),
        Value::Map(map) => Ok(Value::count(map.len())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let wrong = mismatch(0, "a list or a map", of);
            let hint = if matches!(of, Value::String(_)) { "; strlen(…) counts letters" } else { "" };
            Err(Wrong { reason: wrong.reason + hint, ..wrong })
        }
    }
}

pub(super) fn lookup(arguments: &[Value]) -> Given {
    if !(2..=3).contains(&arguments.len()) {
        return Err(Wrong::from("it takes a map, a key, and what to give where there is none"));
    }
    let key = text_of(arguments, 1)?;
    let found = map_of(arguments, 0)?.get(&key).or(arguments.get(2)).cloned();
    found.ok_or_else(|| blame(1, format!("there is no `{key}` in the map")))
}

pub(super) fn merge(arguments: &[Value]) -> Given {
    let mut all = BTreeMap::new();
    for (index, value) in arguments.iter().enumerate() {
        if *value != Value::Null {
            all.extend(map_of(arguments, index)?.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
    }
    Ok(Value::Map(all))
}

pub(super) fn reverselist(arguments: &[Value]) -> Given {
    exactly::<1>(arguments)?;
    Ok(Value::List(list_of(arguments, 0)?.iter().rev().cloned().collect()))
}

pub(super) fn slice(arguments: &[Value]) -> Given {
    exactly::<3>(arguments)?;
    let (list, start, end) = (list_of(arguments, 0)?, whole_of(arguments, 1)?, whole_of(arguments, 2)?);
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    let piece = range.and_then(|(start, end)| list.get(start..end));
    piece
        .map(|piece| Value::List(piece.to_vec()))
        .ok_or_else(|| blame(1, format!("the list has {} elements", list.len())))
}

pub(super) fn sort(arguments: &[Value]) -> Given {
    exactly::<1>(arguments)?;
    let mut texts = texts_of(arguments, 0)?;
    texts.sort();
    Ok(Value::List(texts.into_iter().map(Value::String).collect()))
}

pub(super) fn zipmap(arguments: &[Value]) -> Given {
    exactly::<2>(arguments)?;
    let (keys, values) = (texts_of(arguments, 0)?, list_of(arguments, 1)?);
    if keys.len() != values.len() {
        return Err(format!("there are {} keys for {} values", keys.len(), values.len()).into());
    }
    Ok(Value::Map(keys.into_iter().zip(values.iter().cloned()).collect()))
}
