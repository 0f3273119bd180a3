//! Numbers, truths and comparisons.

use super::{Given, Wrong, blame, exactly, number_of, text_of, truth_of, whole_of};
use crate::bake::number::Number;
use crate::bake::value::Value;

fn calculated(number: Option<Number>) -> Given {
    number.map(Value::Number).ok_or_else(|| Wrong::from("the result is no number"))
}

fn pair(arguments: &[Value]) -> Result<(Number, Number), Wrong> {
    exactly::<2>(arguments)?;
    Ok((number_of(arguments, 0)?, number_of(arguments, 1)?))
}

fn one(arguments: &[Value]) -> Result<Number, Wrong> {
    exactly::<1>(arguments)?;
    number_of(arguments, 0)
}

pub(super) fn absolute(arguments: &[Value]) -> Given {
    let number = one(arguments)?;
    calculated(match number {
        Number::Int(whole) => whole.checked_abs().map(Number::Int),
        Number::Float(float) => Number::of(float.abs()),
    })
}

pub(super) fn add(arguments: &[Value]) -> Given {
    let (left, right) = pair(arguments)?;
    calculated(left.combine(right, i128::checked_add, |left, right| left + right))
}

pub(super) fn subtract(arguments: &[Value]) -> Given {
    let (left, right) = pair(arguments)?;
    calculated(left.combine(right, i128::checked_sub, |left, right| left - right))
}

pub(super) fn multiply(arguments: &[Value]) -> Given {
    let (left, right) = pair(arguments)?;
    calculated(left.combine(right, i128::checked_mul, |left, right| left * right))
}

pub(super) fn divide(arguments: &[Value]) -> Given {
    let (left, right) = pair(arguments)?;
    left.divide(right).map(Value::Number).ok_or_else(|| blame(1, "nothing can be divided by zero"))
}

pub(super) fn modulo(arguments: &[Value]) -> Given {
    let (left, right) = pair(arguments)?;
    left.modulo(right).map(Value::Number).ok_or_else(|| blame(1, "nothing can be divided by zero"))
}

pub(super) fn negate(arguments: &[Value]) -> Given {
    calculated(Number::Int(0).combine(one(arguments)?, i128::checked_sub, |zero, number| zero - number))
}

pub(super) fn ceil(arguments: &[Value]) -> Given {
    calculated(Number::of(one(arguments)?.float().ceil()))
}

pub(super) fn floor(arguments: &[Value]) -> Given {
    calculated(Number::of(one(arguments)?.float().floor()))
}

pub(super) fn int(arguments: &[Value]) -> Given {
    let number = one(arguments)?;
    calculated(if number.int().is_some() { Some(number) } else { Number::of(number.float().trunc()) })
}

pub(super) fn signum(arguments: &[Value]) -> Given {
    Ok(Value::int(match one(arguments)?.cmp(&Number::Int(0)) {
        std::cmp::Ordering::Less => -1,
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Greater => 1,
    }))
}

pub(super) fn log(arguments: &[Value]) -> Given {
    let (number, base) = pair(arguments)?;
    calculated(Number::of(number.float().ln() / base.float().ln()))
}

pub(super) fn pow(arguments: &[Value]) -> Given {
    let (base, exponent) = pair(arguments)?;
    let exact = |base: i128, exponent: i128| base.checked_pow(u32::try_from(exponent).ok()?);
    calculated(base.combine(exponent, exact, f64::powf))
}

pub(super) fn max(arguments: &[Value]) -> Given {
    let all = all(arguments)?;
    all.into_iter().max().map(Value::Number).ok_or_else(|| Wrong::from("it takes at least one number"))
}

pub(super) fn min(arguments: &[Value]) -> Given {
    let all = all(arguments)?;
    all.into_iter().min().map(Value::Number).ok_or_else(|| Wrong::from("it takes at least one number"))
}

fn all(arguments: &[Value]) -> Result<Vec<Number>, Wrong> {
    (0..arguments.len()).map(|index| number_of(arguments, index)).collect()
}

pub(super) fn parseint(arguments: &[Value]) -> Given {
    exactly::<2>(arguments)?;
    let (text, base) = (text_of(arguments, 0)?, whole_of(arguments, 1)?);
    let base =
        u32::try_from(base).ok().filter(|base| (2..=36).contains(base)).ok_or_else(|| blame(1, "a base is 2 to 36"))?;
    let read = i128::from_str_radix(&text, base);
    read.map(Value::int).map_err(|_| blame(0, format!("`{text}` is no number of base {base}")))
}

/// `range(end)`, `range(start, end)`, `range(start, end, step)`; not more than HCL's 1024 numbers.
pub(super) fn range(arguments: &[Value]) -> Given {
    let (start, end, step) = match arguments.len() {
        1 => (Number::Int(0), number_of(arguments, 0)?, None),
        2 => (number_of(arguments, 0)?, number_of(arguments, 1)?, None),
        3 => (number_of(arguments, 0)?, number_of(arguments, 1)?, Some(number_of(arguments, 2)?)),
        other => return Err(format!("it takes one to three numbers, not {other}").into()),
    };
    let step = step.unwrap_or(Number::Int(if end < start { -1 } else { 1 }));
    let up = step > Number::Int(0);
    if step == Number::Int(0) || (up && end < start) || (!up && end > start) {
        return Err(blame(arguments.len() - 1, "this step never gets there"));
    }
    let (mut list, mut next) = (Vec::new(), start);
    while if up { next < end } else { next > end } {
        if list.len() == 1024 {
            return Err(Wrong::from("these are more than 1024 numbers"));
        }
        list.push(Value::Number(next));
        let after = next.combine(step, i128::checked_add, |next, step| next + step);
        next = after.ok_or_else(|| Wrong::from("the numbers are too large"))?;
    }
    Ok(Value::List(list))
}

pub(super) fn and(arguments: &[Value]) -> Given {
    exactly::<2>(arguments)?;
    Ok(Value::Bool(truth_of(arguments, 0)? & truth_of(arguments, 1)?))
}

pub(super) fn or(arguments: &[Value]) -> Given {
    exactly::<2>(arguments)?;
    Ok(Value::Bool(truth_of(arguments, 0)? | truth_of(arguments, 1)?))
}

pub(super) fn not(arguments: &[Value]) -> Given {
    exactly::<1>(arguments)?;
    Ok(Value::Bool(!truth_of(arguments, 0)?))
}

pub(super) fn equal(arguments: &[Value]) -> Given {
    let [left, right] = exactly(arguments)?;
    Ok(Value::Bool(left == right))
}

pub(super) fn not_equal(arguments: &[Value]) -> Given {
    let [left, right] = exactly(arguments)?;
    Ok(Value::Bool(left != right))
}

pub(super) fn less(arguments: &[Value]) -> Given {
    pair(arguments).map(|(left, right)| Value::Bool(left < right))
}

pub(super) fn less_or_equal(arguments: &[Value]) -> Given {
    pair(arguments).map(|(left, right)| Value::Bool(left <= right))
}

pub(super) fn greater(arguments: &[Value]) -> Given {
    pair(arguments).map(|(left, right)| Value::Bool(left > right))
}

pub(super) fn greater_or_equal(arguments: &[Value]) -> Given {
    pair(arguments).map(|(left, right)| Value::Bool(left >= right))
}
