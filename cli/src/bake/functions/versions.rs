//! Versions and what is asked of them: `^1.2`, `>= 1.2, < 2 || 3.x`, `1.0 - 1.9`.

use std::cmp::Ordering;

use super::{Given, blame, exactly, text_of};
use crate::bake::value::Value;

/// Whether a version is what a constraint asks for.
pub(super) fn semvercmp(arguments: &[Value]) -> Given {
    exactly::<2>(arguments)?;
    let (version, constraint) = (text_of(arguments, 0)?, text_of(arguments, 1)?);
    let version = Version::parse(&version).filter(|version| version.known > 0);
    let version = version.ok_or_else(|| blame(0, "this is no version: write 1.2.3"))?;
    let mut any = false;
    for alternative in constraint.split("||") {
        any |= all(alternative, &version)
            .ok_or_else(|| blame(1, format!("`{constraint}` is no constraint: write >= 1.2, < 2")))?;
    }
    Ok(Value::Bool(any))
}

/// A version, of which parts may be missing.
#[derive(Clone, Debug)]
struct Version {
    parts: [u64; 3],
    /// How many of the parts are there.
    known: usize,
    pre: Vec<String>,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let text = text.split_once('+').map_or(text, |(version, _)| version);
        let (numbers, pre) = text.split_once('-').map_or((text, None), |(numbers, pre)| (numbers, Some(pre)));
        let (mut parts, mut known, mut wild) = ([0; 3], 0, false);
        for (index, number) in numbers.split('.').enumerate() {
            let part = parts.get_mut(index)?;
            if matches!(number, "x" | "X" | "*") {
                wild = true;
            } else if wild {
                return None;
            } else {
                *part = number.parse().ok()?;
                known = index + 1;
            }
        }
        let pre = pre.map(|pre| pre.split('.').map(str::to_owned).collect()).unwrap_or_default();
        Some(Self { parts, known, pre })
    }

    fn order(&self, other: &Self) -> Ordering {
        let before = |part: &String| part.parse::<u64>().ok();
        let pre = || match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let each = self.pre.iter().zip(&other.pre).map(|(left, right)| match (before(left), before(right)) {
                    (Some(left), Some(right)) => left.cmp(&right),
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (None, None) => left.cmp(right),
                });
                each.fold(Ordering::Equal, Ordering::then).then(self.pre.len().cmp(&other.pre.len()))
            }
        };
        self.parts.cmp(&other.parts).then_with(pre)
    }

    /// The first version after all those that share the first `kept` parts.
    fn after(&self, kept: usize) -> Self {
        let mut parts = [0; 3];
        parts[..kept].copy_from_slice(&self.parts[..kept]);
        if let Some(last) = kept.checked_sub(1) {
            parts[last] = parts[last].saturating_add(1);
        }
        Self { parts, known: 3, pre: Vec::new() }
    }
}

/// Whether a version meets all of what stands between commas or spaces.
fn all(text: &str, version: &Version) -> Option<bool> {
    if let Some((from, to)) = text.split_once(" - ") {
        return Some(one(">=", &Version::parse(from)?, version)? && one("<=", &Version::parse(to)?, version)?);
    }
    let (mut holds, mut rest, mut count) = (true, text.trim(), 0);
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_ascii_alphanumeric() || c == '*').unwrap_or(rest.len());
        let (operator, after) = (rest[..end].trim(), &rest[end..]);
        let end = after.find([',', ' ']).unwrap_or(after.len());
        holds &= one(operator, &Version::parse(&after[..end])?, version)?;
        rest = after[end..].trim_start_matches([',', ' ']);
        count += 1;
    }
    (count > 0).then_some(holds)
}

fn one(operator: &str, wanted: &Version, version: &Version) -> Option<bool> {
    // What does not speak of preliminary versions does not mean them.
    let preliminary = !version.pre.is_empty() && wanted.pre.is_empty();
    let (least, beyond) = (version.order(wanted).is_ge(), |kept: usize| version.order(&wanted.after(kept)).is_ge());
    let same = if wanted.known == 3 {
        version.order(wanted).is_eq()
    } else {
        wanted.known == 0 || (least && !beyond(wanted.known))
    };
    let holds = match operator {
        "" | "=" | "==" => same,
        "!=" => !same,
        ">" if wanted.known == 3 => version.order(wanted).is_gt(),
        ">" => wanted.known > 0 && beyond(wanted.known),
        "<" => version.order(wanted).is_lt(),
        ">=" | "=>" => least,
        "<=" | "=<" if wanted.known == 3 => version.order(wanted).is_le(),
        "<=" | "=<" => wanted.known == 0 || !beyond(wanted.known),
        "~" | "~>" => wanted.known == 0 || (least && !beyond(wanted.known.min(2))),
        "^" => {
            let first = wanted.parts[..wanted.known].iter().position(|part| *part > 0);
            let kept = first.map_or(wanted.known, |first| first + 1);
            wanted.known == 0 || (least && !beyond(kept))
        }
        _ => return None,
    };
    Some(holds && !preliminary)
}
