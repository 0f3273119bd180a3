//! Text.

use super::{Given, Wrong, blame, exactly, text_of, texts_of, whole_of};
use crate::bake::value::Value;

fn one(arguments: &[Value]) -> Result<String, Wrong> {
    exactly::<1>(arguments)?;
    text_of(arguments, 0)
}

fn two(arguments: &[Value]) -> Result<(String, String), Wrong> {
    exactly::<2>(arguments)?;
    Ok((text_of(arguments, 0)?, text_of(arguments, 1)?))
}

pub(super) fn byteslen(arguments: &[Value]) -> Given {
    one(arguments).map(|text| Value::count(text.len()))
}

/// Bytes are text here: what cuts a letter in two is refused.
pub(super) fn bytesslice(arguments: &[Value]) -> Given {
    exactly::<3>(arguments)?;
    let (text, offset, length) = (text_of(arguments, 0)?, whole_of(arguments, 1)?, whole_of(arguments, 2)?);
    let range = usize::try_from(offset).ok().zip(usize::try_from(length).ok());
    let piece = range.and_then(|(offset, length)| text.get(offset..offset.checked_add(length)?));
    piece.map(Value::text).ok_or_else(|| blame(1, "there are no such bytes"))
}

pub(super) fn chomp(arguments: &[Value]) -> Given {
    one(arguments).map(|text| Value::text(text.trim_end_matches(['\n', '\r'])))
}

pub(super) fn contains(arguments: &[Value]) -> Given {
    two(arguments).map(|(text, part)| Value::Bool(text.contains(&part)))
}

pub(super) fn startswith(arguments: &[Value]) -> Given {
    two(arguments).map(|(text, part)| Value::Bool(text.starts_with(&part)))
}

pub(super) fn endswith(arguments: &[Value]) -> Given {
    two(arguments).map(|(text, part)| Value::Bool(text.ends_with(&part)))
}

pub(super) fn indent(arguments: &[Value]) -> Given {
    exactly::<2>(arguments)?;
    let (width, text) = (whole_of(arguments, 0)?, text_of(arguments, 1)?);
    let width =
        usize::try_from(width).ok().filter(|width| *width <= 1000).ok_or_else(|| blame(0, "this is no width"))?;
    Ok(Value::text(text.replace('\n', &format!("\n{}", " ".repeat(width)))))
}

/// Several lists follow each other.
pub(super) fn join(arguments: &[Value]) -> Given {
    if arguments.len() < 2 {
        return Err(Wrong::from("it takes a separator and a list"));
    }
    let separator = text_of(arguments, 0)?;
    let lists = (1..arguments.len()).map(|index| texts_of(arguments, index)).collect::<Result<Vec<_>, _>>()?;
    Ok(Value::text(lists.concat().join(&separator)))
}

pub(super) fn lower(arguments: &[Value]) -> Given {
    one(arguments).map(|text| Value::text(text.to_lowercase()))
}

pub(super) fn upper(arguments: &[Value]) -> Given {
    one(arguments).map(|text| Value::text(text.to_uppercase()))
}

pub(super) fn replace(arguments: &[Value]) -> Given {
    exactly::<3>(arguments)?;
    Ok(Value::text(text_of(arguments, 0)?.replace(&text_of(arguments, 1)?, &text_of(arguments, 2)?)))
}

pub(super) fn reverse(arguments: &[Value]) -> Given {
    one(arguments).map(|text| Value::text(text.chars().rev().collect::<String>()))
}

pub(super) fn sanitize(arguments: &[Value]) -> Given {
    let fine = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    one(arguments).map(|text| Value::text(text.chars().map(fine).collect::<String>()))
}

pub(super) fn split(arguments: &[Value]) -> Given {
    let (separator, text) = two(arguments)?;
    let parts: Vec<Value> = match separator.as_str() {
        "" => text.chars().map(|letter| Value::text(letter.to_string())).collect(),
        separator => text.split(separator).map(Value::text).collect(),
    };
    Ok(Value::List(parts))
}

pub(super) fn strlen(arguments: &[Value]) -> Given {
    one(arguments).map(|text| Value::count(text.chars().count()))
}

/// A negative offset counts from the end, and a negative length means all that follows.
pub(super) fn substr(arguments: &[Value]) -> Given {
    exactly::<3>(arguments)?;
    let (text, offset, length) = (text_of(arguments, 0)?, whole_of(arguments, 1)?, whole_of(arguments, 2)?);
    let letters: Vec<char> = text.chars().collect();
    let start = match usize::try_from(offset) {
        Ok(offset) => offset.min(letters.len()),
        Err(_) => letters.len().saturating_sub(usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let rest = &letters[start..];
    let length = usize::try_from(length).map_or(rest.len(), |length| length.min(rest.len()));
    Ok(Value::text(rest[..length].iter().collect::<String>()))
}

pub(super) fn title(arguments: &[Value]) -> Given {
    let text = one(arguments)?;
    let (mut titled, mut at_start) = (String::new(), true);
    for letter in text.chars() {
        if at_start {
            titled.extend(letter.to_uppercase());
        } else {
            titled.push(letter);
        }
        at_start = !(letter.is_alphanumeric() || letter == '_' || letter == '\'');
    }
    Ok(Value::text(titled))
}

pub(super) fn trim(arguments: &[Value]) -> Given {
    let (text, letters) = two(arguments)?;
    Ok(Value::text(text.trim_matches(|letter| letters.contains(letter))))
}

pub(super) fn trimprefix(arguments: &[Value]) -> Given {
    let (text, prefix) = two(arguments)?;
    Ok(Value::text(text.strip_prefix(&prefix).unwrap_or(&text)))
}

pub(super) fn trimsuffix(arguments: &[Value]) -> Given {
    let (text, suffix) = two(arguments)?;
    Ok(Value::text(text.strip_suffix(&suffix).unwrap_or(&text)))
}

pub(super) fn trimspace(arguments: &[Value]) -> Given {
    one(arguments).map(|text| Value::text(text.trim()))
}
