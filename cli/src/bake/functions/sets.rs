//! Sets. Lists are taken for them.

use super::{Given, Wrong, exactly, list_of};
use crate::bake::value::Value;

/// What comes of combinations is not to fill the memory.
const MOST: usize = 65_536;

pub(super) fn has_element(arguments: &[Value]) -> Given {
    let [_, wanted] = exactly(arguments)?;
    Ok(Value::Bool(list_of(arguments, 0)?.contains(wanted)))
}

fn all(arguments: &[Value]) -> Result<Vec<Vec<Value>>, Wrong> {
    if arguments.is_empty() {
        return Err(Wrong::from("it takes at least one set"));
    }
    (0..arguments.len()).map(|index| list_of(arguments, index).map(<[Value]>::to_vec)).collect()
}

pub(super) fn union(arguments: &[Value]) -> Given {
    all(arguments).map(|sets| Value::set(sets.concat()))
}

pub(super) fn intersection(arguments: &[Value]) -> Given {
    let sets = all(arguments)?;
    let (first, others) = sets.split_first().ok_or_else(|| Wrong::from("it takes at least one set"))?;
    let common = first.iter().filter(|value| others.iter().all(|other| other.contains(value)));
    Ok(Value::set(common.cloned().collect()))
}

pub(super) fn subtract(arguments: &[Value]) -> Given {
    exactly::<2>(arguments)?;
    let (from, without) = (list_of(arguments, 0)?, list_of(arguments, 1)?);
    Ok(Value::set(from.iter().filter(|value| !without.contains(value)).cloned().collect()))
}

pub(super) fn symmetric_difference(arguments: &[Value]) -> Given {
    let sets = all(arguments)?;
    let apart = |left: Vec<Value>, right: Vec<Value>| {
        let only_left = left.iter().filter(|value| !right.contains(value));
        only_left.chain(right.iter().filter(|value| !left.contains(value))).cloned().collect()
    };
    Ok(Value::set(sets.into_iter().reduce(apart).unwrap_or_default()))
}

/// Of sets a set, and of lists a list.
pub(super) fn product(arguments: &[Value]) -> Given {
    let lists = all(arguments)?;
    let mut rows: Vec<Vec<Value>> = vec![Vec::new()];
    for list in &lists {
        if rows.len().saturating_mul(list.len()) > MOST {
            return Err(format!("these are more than {MOST} combinations").into());
        }
        let with = |row: &Vec<Value>| {
            let row = row.clone();
            list.iter().map(move |value| row.iter().cloned().chain([value.clone()]).collect())
        };
        rows = rows.iter().flat_map(with).collect();
    }
    let rows = rows.into_iter().map(Value::List).collect();
    let sets = arguments.iter().all(|argument| matches!(argument, Value::Set(_)));
    Ok(if sets { Value::set(rows) } else { Value::List(rows) })
}
