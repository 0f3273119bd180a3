//! `--progress=json`: one JSON object a line on standard error, for programs.

use std::io::Write as _;

use serde::Serialize;

use super::{Renderer, Update};

pub(super) struct Json;

/// The shape of a line; `docs/output.md` documents it.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Line<'a> {
    Started {
        task: usize,
        label: &'a str,
    },
    Output {
        task: usize,
        stream: &'a str,
        line: &'a str,
    },
    Bytes {
        task: usize,
        done: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
    },
    Done {
        task: usize,
        how: &'a str,
        seconds: f64,
    },
    Failed {
        task: usize,
        reason: &'a str,
    },
}

impl Renderer for Json {
    fn update(&mut self, task: usize, update: &Update) {
        let line = match update {
            Update::Started { label } => Line::Started { task, label },
            Update::Output { stderr, line } => {
                Line::Output { task, stream: if *stderr { "stderr" } else { "stdout" }, line }
            }
            Update::Bytes { done, total } => Line::Bytes { task, done: *done, total: *total },
            Update::Done { how, elapsed } => Line::Done { task, how: how.word(), seconds: elapsed.as_secs_f64() },
            Update::Failed { reason } => Line::Failed { task, reason },
            Update::Cancelled => Line::Failed { task, reason: "cancelled" },
        };
        let mut text = serde_json::to_vec(&line).expect("plain data");
        text.push(b'\n');
        // Whoever reads progress may have gone; the work goes on.
        let _ = std::io::stderr().write_all(&text);
    }

    fn close(&mut self) {}
}
