//! `--explain-cache`: for each step, whether its result was known, and if not, why not.

use wharf_builder::{CacheVerdict, MissReason};

/// A verdict as lines: `HIT` or `MISS` with the step, then one indented line a reason.
pub fn explain(label: &str, verdict: &CacheVerdict) -> String {
    match verdict {
        CacheVerdict::Hit => format!("HIT   {label}"),
        CacheVerdict::Miss(reasons) => {
            let reasons: Vec<String> = reasons.iter().map(|reason| format!("        {}", words(reason))).collect();
            format!("MISS  {label}\n{}", reasons.join("\n"))
        }
    }
}

fn words(reason: &MissReason) -> String {
    match reason {
        MissReason::First => "this instruction, as it is written, was not done here before for this context".to_owned(),
        MissReason::Refused => "--no-cache: remembered results are not used".to_owned(),
        MissReason::Gone => "it was known, but its layer is gone from the store".to_owned(),
        MissReason::Forgotten => "nothing it depends on has changed, but its result is not remembered".to_owned(),
        MissReason::Below => "what it builds on changed: the base image or a step above".to_owned(),
        MissReason::Input { name } => format!("{name} changed"),
        MissReason::Files { count, changed, added, removed } => {
            let shown = changed.len() + added.len() + removed.len();
            let groups = [("changed", changed), ("new", added), ("gone", removed)];
            let groups = groups.iter().filter(|(_, files)| !files.is_empty());
            let mut text: Vec<String> = groups.map(|(what, files)| format!("{what}: {}", files.join(", "))).collect();
            if shown < *count {
                text.push(format!("and {} more", count - shown));
            }
            format!("{count} {} - {}", if *count == 1 { "file" } else { "files" }, text.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_read_well() {
        assert_eq!(explain("[1/2] COPY . .", &CacheVerdict::Hit), "HIT   [1/2] COPY . .");
        let files = MissReason::Files {
            count: 4,
            changed: vec!["a".into(), "b".into()],
            added: Vec::new(),
            removed: vec!["c".into()],
        };
        assert_eq!(
            explain("RUN x", &CacheVerdict::Miss(vec![MissReason::Below, files])),
            "MISS  RUN x\n        what it builds on changed: the base image or a step above\n        4 files - changed: a, b; gone: c; and 1 more"
        );
    }
}
