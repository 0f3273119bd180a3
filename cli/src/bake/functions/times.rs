//! Points in time, as RFC 3339 writes them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;

use super::{Given, Wrong, blame, exactly, number_of, text_of};
use crate::bake::value::Value;

/// A time of day somewhere.
struct Moment {
    local: DateTime,
    offset: Offset,
}

impl Moment {
    fn parse(text: &str) -> Option<Self> {
        let pieces = Pieces::parse(text).ok()?;
        let offset = pieces.to_numeric_offset()?;
        Some(Self { local: pieces.date().to_datetime(pieces.time()?), offset })
    }

    fn of(timestamp: Timestamp, offset: Offset) -> Self {
        Self { local: offset.to_datetime(timestamp), offset }
    }

    fn timestamp(&self) -> Option<Timestamp> {
        self.offset.to_timestamp(self.local).ok()
    }

    fn rfc3339(&self) -> String {
        let Self { local, .. } = self;
        let (date, zone) = (local.date(), self.zone(":", "Z"));
        format!("{date}T{:02}:{:02}:{:02}{zone}", local.hour(), local.minute(), local.second())
    }

    /// `+01:00`, or `zero` for none.
    fn zone(&self, between: &str, zero: &str) -> String {
        let seconds = self.offset.seconds();
        if seconds == 0 && !zero.is_empty() {
            return zero.to_owned();
        }
        let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
        format!("{sign}{:02}{between}{:02}", minutes / 60, minutes % 60)
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

fn month(local: DateTime) -> &'static str {
    MONTHS[usize::try_from(local.month() - 1).unwrap_or_default() % 12]
}

fn weekday(local: DateTime) -> &'static str {
    DAYS[usize::try_from(local.weekday().to_sunday_zero_offset()).unwrap_or_default() % 7]
}

fn moment(arguments: &[Value], index: usize) -> Result<Moment, Wrong> {
    let text = text_of(arguments, index)?;
    Moment::parse(&text).ok_or_else(|| blame(index, format!("`{text}` is no time: write 2026-01-31T12:00:00Z")))
}

fn unix(arguments: &[Value], index: usize) -> Result<Moment, Wrong> {
    let seconds = number_of(arguments, index)?.int().and_then(|seconds| i64::try_from(seconds).ok());
    let timestamp = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    timestamp
        .map(|timestamp| Moment::of(timestamp, Offset::UTC))
        .ok_or_else(|| blame(index, "these are no seconds since 1970"))
}

pub(super) fn timestamp(arguments: &[Value]) -> Given {
    exactly::<0>(arguments)?;
    Ok(Value::text(Moment::of(Timestamp::now(), Offset::UTC).rfc3339()))
}

pub(super) fn formatdate(arguments: &[Value]) -> Given {
    exactly::<2>(arguments)?;
    written(&text_of(arguments, 0)?, &moment(arguments, 1)?)
}

/// The same of seconds since 1970 as well, which the format `X` gives.
pub(super) fn formattimestamp(arguments: &[Value]) -> Given {
    let [_, time] = exactly(arguments)?;
    let format = text_of(arguments, 0)?;
    let moment = if matches!(time, Value::Number(_)) { unix(arguments, 1)? } else { moment(arguments, 1)? };
    if format == "X" {
        let seconds = moment.timestamp().map(Timestamp::as_second);
        return seconds.map(|seconds| Value::text(seconds.to_string())).ok_or_else(|| blame(1, "this is no time"));
    }
    written(&format, &moment)
}

fn written(format: &str, moment: &Moment) -> Given {
    let (mut text, mut rest) = (String::new(), format);
    while let Some(letter) = rest.chars().next() {
        if letter == '\'' {
            let (literal, after) = quoted(&rest[1..]).ok_or_else(|| blame(0, "the quotes do not end"))?;
            text.push_str(&literal);
            rest = after;
            continue;
        }
        let run = rest.len() - rest.trim_start_matches(letter).len();
        if letter.is_ascii_alphabetic() {
            let part = part(&rest[..run], moment);
            text.push_str(&part.ok_or_else(|| {
                blame(0, format!("`{}` stands for nothing; text goes in quotes: 'at'", &rest[..run]))
            })?);
        } else {
            text.push_str(&rest[..run]);
        }
        rest = &rest[run..];
    }
    Ok(Value::text(text))
}

/// The text up to the closing quote, and what follows; two quotes are one.
fn quoted(mut rest: &str) -> Option<(String, &str)> {
    let mut literal = String::new();
    loop {
        let end = rest.find('\'')?;
        literal.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(after) => {
                literal.push('\'');
                rest = after;
            }
            None => return Some((literal, rest)),
        }
    }
}

fn part(run: &str, moment: &Moment) -> Option<String> {
    let local = moment.local;
    let twelve = if local.hour() % 12 == 0 { 12 } else { local.hour() % 12 };
    Some(match run {
        "YYYY" => format!("{:04}", local.year()),
        "YY" => format!("{:02}", local.year().rem_euclid(100)),
        "MMMM" => month(local).to_owned(),
        "MMM" => month(local)[..3].to_owned(),
        "MM" => format!("{:02}", local.month()),
        "M" => local.month().to_string(),
        "DD" => format!("{:02}", local.day()),
        "D" => local.day().to_string(),
        "EEEE" => weekday(local).to_owned(),
        "EEE" => weekday(local)[..3].to_owned(),
        "hh" => format!("{:02}", local.hour()),
        "h" => local.hour().to_string(),
        "HH" => format!("{twelve:02}"),
        "H" => twelve.to_string(),
        "AA" => if local.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        "aa" => if local.hour() < 12 { "am" } else { "pm" }.to_owned(),
        "mm" => format!("{:02}", local.minute()),
        "m" => local.minute().to_string(),
        "ss" => format!("{:02}", local.second()),
        "s" => local.second().to_string(),
        "ZZZZZ" => moment.zone(":", ""),
        "ZZZZ" => moment.zone("", ""),
        "ZZZ" => moment.zone("", "UTC"),
        "Z" => moment.zone(":", "Z"),
        _ => return None,
    })
}

/// A time and a span such as `-1h30m`.
pub(super) fn timeadd(arguments: &[Value]) -> Given {
    exactly::<2>(arguments)?;
    let moment = moment(arguments, 0)?;
    let span = text_of(arguments, 1)?;
    let nanoseconds = span_of(&span).ok_or_else(|| blame(1, format!("`{span}` is no span: write 1h30m")))?;
    let then = moment.timestamp().map(Timestamp::as_nanosecond).and_then(|now| now.checked_add(nanoseconds));
    let then = then.and_then(|then| Timestamp::from_nanosecond(then).ok());
    let then = then.ok_or_else(|| Wrong::from("that is no time any more"))?;
    Ok(Value::text(Moment::of(then, moment.offset).rfc3339()))
}

#[expect(clippy::cast_possible_truncation, reason = "spans that long are refused by whoever adds them")]
fn span_of(text: &str) -> Option<i128> {
    let (negative, mut rest) =
        text.strip_prefix('-').map_or((false, text.strip_prefix('+').unwrap_or(text)), |rest| (true, rest));
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number * unit;
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(if negative { -total } else { total } as i128)
}

pub(super) fn unixtimestampparse(arguments: &[Value]) -> Given {
    exactly::<1>(arguments)?;
    let moment = unix(arguments, 0)?;
    let local = moment.local;
    let week = local.date().iso_week_date();
    let numbers = [
        ("year", i128::from(local.year())),
        ("year_day", i128::from(local.day_of_year())),
        ("day", i128::from(local.day())),
        ("month", i128::from(local.month())),
        ("weekday", i128::from(local.weekday().to_sunday_zero_offset())),
        ("hour", i128::from(local.hour())),
        ("minute", i128::from(local.minute())),
        ("second", i128::from(local.second())),
        ("iso_year", i128::from(week.year())),
        ("iso_week", i128::from(week.week())),
    ];
    let mut map: BTreeMap<String, Value> = numbers.map(|(name, number)| (name.to_owned(), Value::int(number))).into();
    map.insert("month_name".to_owned(), Value::text(month(local)));
    map.insert("weekday_name".to_owned(), Value::text(weekday(local)));
    map.insert("rfc3339".to_owned(), Value::text(moment.rfc3339()));
    Ok(Value::Map(map))
}
