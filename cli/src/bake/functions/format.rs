//! `format` and `formatlist`: verbs as in C and Go.

use super::{Given, Wrong, blame, text_of};
use crate::bake::number::Number;
use crate::bake::value::{Value, go_json};

/// Wider than this nothing is meant to be.
const WIDEST: usize = 1024;

pub(super) fn format(arguments: &[Value]) -> Given {
    Ok(Value::text(formatted(&text_of(arguments, 0)?, arguments.get(1..).unwrap_or_default())?))
}

/// Lists go in step; what is no list is the same each time.
pub(super) fn formatlist(arguments: &[Value]) -> Given {
    let format = text_of(arguments, 0)?;
    let given = arguments.get(1..).unwrap_or_default();
    let mut lengths = given.iter().filter_map(|value| value.elements().map(<[Value]>::len));
    let Some(length) = lengths.next() else {
        return Ok(Value::List(vec![Value::text(formatted(&format, given)?)]));
    };
    if lengths.any(|other| other != length) {
        return Err(Wrong::from("the lists are not of one length"));
    }
    let turn = |index: usize| {
        let of = |value: &Value| value.elements().map_or_else(|| value.clone(), |elements| elements[index].clone());
        formatted(&format, &given.iter().map(of).collect::<Vec<_>>()).map(Value::text)
    };
    Ok(Value::List((0..length).map(turn).collect::<Result<_, _>>()?))
}

/// What stands between `%` and the letter.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "these are C's flags, and any of them go together")]
struct Verb {
    plus: bool,
    minus: bool,
    zero: bool,
    space: bool,
    hash: bool,
    width: Option<usize>,
    precision: Option<usize>,
    letter: char,
}

fn formatted(format: &str, arguments: &[Value]) -> Result<String, Wrong> {
    let (mut text, mut next, mut highest, mut explicit) = (String::new(), 0, 0, false);
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        if letters.peek() == Some(&'%') {
            letters.next();
            text.push('%');
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = letters.peek().copied() {
            match flag {
                '+' => verb.plus = true,
                '-' => verb.minus = true,
                '0' => verb.zero = true,
                ' ' => verb.space = true,
                '#' => verb.hash = true,
                _ => break,
            }
            letters.next();
        }
        let mut index = |letters: &mut std::iter::Peekable<std::str::Chars<'_>>| -> Result<(), Wrong> {
            if letters.peek() == Some(&'[') {
                letters.next();
                let number = digits(letters).filter(|number| *number > 0);
                next = number.ok_or_else(|| blame(0, "a place is written %[1]d"))? - 1;
                explicit = true;
                if letters.next() != Some(']') {
                    return Err(blame(0, "a place is written %[1]d"));
                }
            }
            Ok(())
        };
        index(&mut letters)?;
        verb.width = digits(&mut letters);
        if letters.peek() == Some(&'.') {
            letters.next();
            verb.precision = Some(digits(&mut letters).unwrap_or(0));
        }
        index(&mut letters)?;
        if verb.width.into_iter().chain(verb.precision).any(|size| size > WIDEST) {
            return Err(blame(0, format!("nothing is wider than {WIDEST} letters")));
        }
        verb.letter = letters.next().ok_or_else(|| blame(0, "it ends in the middle of a verb"))?;
        let value = arguments.get(next).ok_or_else(|| {
            blame(0, format!("there are {} values for it, and it wants another one", arguments.len()))
        })?;
        text.push_str(&verb.apply(value).map_err(|reason| blame(next + 1, reason))?);
        next += 1;
        highest = highest.max(next);
    }
    if highest < arguments.len() && !explicit {
        return Err(blame(highest + 1, "nothing in the format asks for this"));
    }
    Ok(text)
}

fn digits(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut number = None;
    while let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(10)) {
        letters.next();
        number = Some(number.unwrap_or(0_usize).saturating_mul(10).saturating_add(digit as usize));
    }
    number
}

impl Verb {
    fn apply(&self, value: &Value) -> Result<String, String> {
        let wrong = |wanted: &str| format!("%{} wants {wanted}, not {}", self.letter, value.kind());
        let number = || value.to_number().ok_or_else(|| wrong("a number"));
        let whole = || number().and_then(|number| number.int().ok_or_else(|| wrong("a whole number")));
        let text = match self.letter {
            'v' if !self.hash => match value {
                Value::Null => "null".to_owned(),
                _ => value.to_text().unwrap_or_else(|| go_json(&value.to_json().to_string())),
            },
            'v' => go_json(&value.to_json().to_string()),
            't' => value.to_bool().ok_or_else(|| wrong("true or false"))?.to_string(),
            'd' => return Ok(self.padded_number(&whole()?.unsigned_abs().to_string(), whole()? < 0)),
            'b' => return Ok(self.padded_number(&format!("{:b}", whole()?.unsigned_abs()), whole()? < 0)),
            'o' => return Ok(self.padded_number(&format!("{:o}", whole()?.unsigned_abs()), whole()? < 0)),
            'x' => return Ok(self.padded_number(&format!("{:x}", whole()?.unsigned_abs()), whole()? < 0)),
            'X' => return Ok(self.padded_number(&format!("{:X}", whole()?.unsigned_abs()), whole()? < 0)),
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let number = number()?;
                return Ok(self.padded_number(&self.float(number), number.float() < 0.0));
            }
            's' => self.cut(&value.to_text().ok_or_else(|| wrong("a string"))?),
            'q' => go_json(
                &serde_json::to_string(&self.cut(&value.to_text().ok_or_else(|| wrong("a string"))?))
                    .unwrap_or_default(),
            ),
            other => return Err(format!("there is no verb %{other}")),
        };
        Ok(self.padded(&text))
    }

    fn cut(&self, text: &str) -> String {
        text.chars().take(self.precision.unwrap_or(usize::MAX)).collect()
    }

    /// Without its sign.
    fn float(&self, number: Number) -> String {
        let float = number.float().abs();
        match self.letter {
            'f' | 'F' => format!("{float:.*}", self.precision.unwrap_or(6)),
            'e' | 'E' => {
                let text = format!("{float:.*e}", self.precision.unwrap_or(6));
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let exponent: i32 = exponent.parse().unwrap_or(0);
                let sign = if exponent < 0 { '-' } else { '+' };
                let text = format!("{digits}e{sign}{:02}", exponent.abs());
                if self.letter == 'E' { text.to_uppercase() } else { text }
            }
            _ => match number {
                Number::Int(whole) => whole.unsigned_abs().to_string(),
                Number::Float(_) => float.to_string(),
            },
        }
    }

    fn padded_number(&self, digits: &str, negative: bool) -> String {
        let sign = match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        };
        let width = self.width.unwrap_or(0);
        if self.zero && !self.minus {
            return format!("{sign}{digits:0>width$}", width = width.saturating_sub(sign.len()));
        }
        self.padded(&format!("{sign}{digits}"))
    }

    fn padded(&self, text: &str) -> String {
        let width = self.width.unwrap_or(0);
        if self.minus { format!("{text:<width$}") } else { format!("{text:>width$}") }
    }
}
