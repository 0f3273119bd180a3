//! The results: a row for each kind of work, a column for each registry, and what the goals say.

use std::fmt;

const COLUMNS: [&str; 5] = ["wharf", "distribution", "zot", "nginx", "alone"];

#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

/// One kind of work.
pub struct Row {
    work: String,
    unit: &'static str,
    samples: Vec<(&'static str, Vec<f64>)>,
    goals: Vec<String>,
}

pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

pub fn median(samples: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = samples.iter().copied().filter(|sample| sample.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 0 => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
        length => sorted[length / 2],
    }
}

impl Goal {
    /// A goal and whether it is met, in words.
    fn judge(&self, name: &str, value: f64, unit: &str) -> String {
        let (words, limit, met) = match self {
            Self::AtLeast(limit) => ("≥", limit, value >= *limit),
            Self::AtMost(limit) => ("≤", limit, value <= *limit),
        };
        let verdict = if met { "met" } else { "**missed**" };
        format!("{name} {value:.2}{unit}, goal {words} {limit}{unit}: {verdict}")
    }
}

impl Row {
    pub fn new(work: impl Into<String>, unit: &'static str) -> Self {
        Self { work: work.into(), unit, samples: Vec::new(), goals: Vec::new() }
    }

    pub fn sample(&mut self, column: &'static str, value: f64) {
        eprintln!("   {}: {column} {value:.3} {}", self.work, self.unit);
        match self.samples.iter_mut().find(|(name, _)| *name == column) {
            Some((_, samples)) => samples.push(value),
            None => self.samples.push((column, vec![value])),
        }
    }

    pub fn median(&self, column: &str) -> f64 {
        self.samples.iter().find(|(name, _)| *name == column).map_or(f64::NAN, |(_, samples)| median(samples))
    }

    /// Wharf's value divided by another's.
    pub fn ratio(mut self, other: &'static str, goal: &Goal) -> Self {
        let ratio = self.median("wharf") / self.median(other);
        if ratio.is_finite() {
            self.goals.push(goal.judge(&format!("÷ {other}"), ratio, ""));
        }
        self
    }

    /// Wharf's value divided by what it is in another row.
    pub fn against(mut self, name: &str, other: f64, goal: &Goal) -> Self {
        let ratio = self.median("wharf") / other;
        self.goals.push(goal.judge(&format!("÷ {name}"), ratio, ""));
        self
    }

    /// Wharf's value itself.
    pub fn value(mut self, goal: &Goal) -> Self {
        let value = self.median("wharf");
        let unit = format!(" {}", self.unit);
        self.goals.push(goal.judge("wharf", value, &unit));
        self
    }
}

impl Table {
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }
}

fn shown(value: f64) -> String {
    match value {
        value if value.is_nan() => "–".to_owned(),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| work | unit | {} | wharf, and the goal |", COLUMNS.join(" | "))?;
        writeln!(f, "|---|---|{}---|", "---:|".repeat(COLUMNS.len()))?;
        for row in &self.rows {
            let cells: Vec<_> = COLUMNS.iter().map(|column| shown(row.median(column))).collect();
            writeln!(f, "| {} | {} | {} | {} |", row.work, row.unit, cells.join(" | "), row.goals.join("<br>"))?;
        }
        Ok(())
    }
}
