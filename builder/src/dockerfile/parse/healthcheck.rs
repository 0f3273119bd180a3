//! `HEALTHCHECK`

use std::time::Duration;

use super::super::diagnostic::Diagnostic;
use super::super::flag::{Flags, Takes};
use super::super::instruction::{CommandLine, Healthcheck, HealthcheckInstruction};
use super::super::lines::Slice;
use super::super::span::Word;
use super::super::suggest::did_you_mean;
use super::super::words::split_first;
use super::arguments::{Arguments, command_line};

/// Shorter intervals are refused; zero means "not set".
const SHORTEST: Duration = Duration::from_millis(1);

pub(super) fn healthcheck(arguments: &Arguments<'_>) -> Result<HealthcheckInstruction, Diagnostic> {
    let flags = arguments.flags(&[
        ("interval", Takes::Value),
        ("timeout", Takes::Value),
        ("start-period", Takes::Value),
        ("start-interval", Takes::Value),
        ("retries", Takes::Value),
    ])?;
    let (kind, rest) = split_first(&arguments.rest);
    match kind.as_str().to_ascii_uppercase().as_str() {
        "" => Err(arguments.missing("NONE or CMD and a command")),
        "NONE" if rest.is_empty() => Ok(HealthcheckInstruction::None),
        "NONE" => Err(Diagnostic::error("HEALTHCHECK NONE takes no arguments", rest.span())
            .expected("expected the end of the line")),
        "CMD" => check(&flags, &kind, &rest).map(HealthcheckInstruction::Cmd),
        _ => Err(unknown_kind(&kind)),
    }
}

fn check(flags: &Flags<'_>, kind: &Slice<'_>, rest: &Slice<'_>) -> Result<Healthcheck, Diagnostic> {
    let command = command_line(rest)?;
    let empty = match &command {
        CommandLine::Shell(text) => text.text.is_empty(),
        CommandLine::Exec(words) => words.is_empty(),
    };
    if empty {
        return Err(
            Diagnostic::error("HEALTHCHECK CMD needs a command", kind.span()).expected("expected a command after this")
        );
    }
    Ok(Healthcheck {
        command,
        interval: duration(flags, "interval")?,
        timeout: duration(flags, "timeout")?,
        start_period: duration(flags, "start-period")?,
        start_interval: duration(flags, "start-interval")?,
        retries: flags.value("retries").map(|value| retries(&value)).transpose()?,
    })
}

fn unknown_kind(kind: &Slice<'_>) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!("`{}` is not a kind of health check", kind.as_str()), kind.span())
        .expected("expected NONE or CMD");
    match did_you_mean(kind.as_str(), ["NONE", "CMD"]) {
        Some(help) => diagnostic.help(help),
        None => diagnostic.help("write CMD before the command"),
    }
}

fn retries(value: &Word) -> Result<u32, Diagnostic> {
    let digits = value.text.strip_prefix('+').unwrap_or(&value.text);
    let number = digits.parse::<i32>().ok().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| {
        Diagnostic::error(format!("`{}` is not a number of retries", value.text), value.span)
            .expected("expected a whole number, zero or more")
    })
}

fn duration(flags: &Flags<'_>, name: &str) -> Result<Option<Duration>, Diagnostic> {
    let Some(value) = flags.value(name) else { return Ok(None) };
    let Some(duration) = parse_duration(&value.text) else {
        return Err(Diagnostic::error(format!("`{}` is not a duration", value.text), value.span)
            .expected("expected a number and a unit: ns, us, ms, s, m or h")
            .help("for example 30s, 1m30s or 500ms"));
    };
    if !duration.is_zero() && duration < SHORTEST {
        return Err(Diagnostic::error(format!("--{name} is too short"), value.span).expected("expected 1ms or more"));
    }
    Ok(Some(duration))
}

/// A sum of decimal numbers with units, such as `1h30m` or `1.5s`. Negative durations make no sense here.
fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        total = total.checked_add(nanoseconds(number, unit)?)?;
        rest = tail;
    }
    // The largest duration an image's configuration can hold.
    let total = u64::try_from(total).ok().filter(|total| i64::try_from(*total).is_ok())?;
    (!text.is_empty()).then(|| Duration::from_nanos(total))
}

fn nanoseconds(number: &str, unit: &str) -> Option<u128> {
    let unit: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3600 * 1_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.into() };
    // Digits beyond the fifteenth are less than a nanosecond of any unit.
    let fraction: String =
        if fraction.bytes().all(|b| b.is_ascii_digit()) { fraction.chars().take(15).collect() } else { return None };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? };
    whole.checked_mul(unit)?.checked_add(part * unit / scale)
}

#[cfg(test)]
mod tests {
    use super::parse_duration;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("1ns", Some(1)),
            ("1.5s", Some(1_500_000_000)),
            (".5ms", Some(500_000)),
            ("1.ms", Some(1_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("2µs", Some(2_000)),
            ("+3s", Some(3_000_000_000)),
            ("", None),
            ("5", None),
            ("s", None),
            (".s", None),
            ("-1s", None),
            ("1 s", None),
            ("1d", None),
            ("1.2.3s", None),
            ("9999999999h", None),
            ("99999999999999999999999s", None),
        ] {
            assert_eq!(parse_duration(text).map(|d| d.as_nanos()), expected, "{text}");
        }
    }
}
