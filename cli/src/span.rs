//! Spans of time on the command line: `90`, `90s`, `15m`, `24h`, `7d`.

use std::time::Duration;

/// Reads one. Seconds, where there is no unit.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        other => return Err(format!("`{other}` is no unit: s, m, h or d")),
    };
    let number: u64 = digits.parse().map_err(|_| "a span is a whole number and s, m, h or d".to_owned())?;
    number.checked_mul(unit).map(Duration::from_secs).ok_or_else(|| "that is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_they_are_written() {
        for (text, seconds) in [("0", 0), ("90", 90), ("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "-1", "1.5h", "1w", "1h30m", "18446744073709551615d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
