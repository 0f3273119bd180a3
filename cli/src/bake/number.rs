//! Numbers of bake files: whole ones are exact, others have the precision of a double.

use std::cmp::Ordering;
use std::fmt;

/// A number.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// A whole number.
    Int(i128),
    /// Any other.
    Float(f64),
}

impl Number {
    /// A number from a calculation; none when it is not one.
    #[expect(clippy::cast_possible_truncation, reason = "the value was compared with the limits before")]
    pub fn of(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        // Beyond 2^53 a double names no single whole number, but neither does what it was made of.
        if value.fract() == 0.0 && value.abs() < 1e30 {
            Some(Self::Int(value as i128))
        } else {
            Some(Self::Float(value))
        }
    }

    /// Reads a number as it is written.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(whole) = text.parse() {
            return Some(Self::Int(whole));
        }
        let plain = text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+' || c == '.');
        plain.then(|| text.parse().ok()).flatten().and_then(Self::of)
    }

    /// As a double.
    #[expect(clippy::cast_precision_loss, reason = "that is what a double is")]
    pub fn float(self) -> f64 {
        match self {
            Self::Int(whole) => whole as f64,
            Self::Float(float) => float,
        }
    }

    /// The whole number, when it is one.
    pub fn int(self) -> Option<i128> {
        match self {
            Self::Int(whole) => Some(whole),
            Self::Float(_) => None,
        }
    }

    /// A length or an index.
    pub fn index(self) -> Option<usize> {
        self.int().and_then(|whole| usize::try_from(whole).ok())
    }

    /// Exact where both are whole and the result fits, else with doubles.
    pub fn combine(
        self,
        other: Self,
        exact: impl Fn(i128, i128) -> Option<i128>,
        float: impl Fn(f64, f64) -> f64,
    ) -> Option<Self> {
        if let (Self::Int(left), Self::Int(right)) = (self, other)
            && let Some(result) = exact(left, right)
        {
            return Some(Self::Int(result));
        }
        Self::of(float(self.float(), other.float()))
    }

    /// Division; none by zero.
    pub fn divide(self, other: Self) -> Option<Self> {
        let exact = |left: i128, right: i128| (left.checked_rem(right)? == 0).then(|| left / right);
        self.combine(other, exact, |left, right| left / right)
    }

    /// The rest of a division, with the sign of what is divided.
    pub fn modulo(self, other: Self) -> Option<Self> {
        self.combine(other, i128::checked_rem, |left, right| left % right)
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => left.cmp(right),
            _ => self.float().total_cmp(&other.float()),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(whole) => write!(f, "{whole}"),
            Self::Float(float) => {
                let shortest = float.to_string();
                // The 17th digit is where doubles stop being decimal numbers: 0.1 + 0.2 is 0.3 here, as it is in HCL.
                if shortest.chars().filter(char::is_ascii_digit).count() < 18 {
                    return f.write_str(&shortest);
                }
                let rounded: f64 = format!("{float:.14e}").parse().unwrap_or(*float);
                write!(f, "{rounded}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_print_as_they_were_meant() {
        for (text, shown) in [("1", "1"), ("-3", "-3"), ("2.50", "2.5"), ("1e3", "1000"), ("0.125", "0.125")] {
            assert_eq!(Number::parse(text).unwrap().to_string(), shown);
        }
        let sum = Number::parse("0.1").unwrap().combine(Number::parse("0.2").unwrap(), i128::checked_add, |a, b| a + b);
        assert_eq!(sum.unwrap().to_string(), "0.3");
        for bad in ["", "x", "inf", "NaN", "1x"] {
            assert!(Number::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn whole_numbers_stay_whole() {
        let (six, four) = (Number::Int(6), Number::Int(4));
        assert_eq!(six.divide(Number::Int(3)).unwrap().int(), Some(2));
        assert_eq!(six.divide(four).unwrap().to_string(), "1.5");
        assert_eq!(six.modulo(four), Some(Number::Int(2)));
        assert_eq!(six.divide(Number::Int(0)), None);
    }
}
