//! `--progress=rawjson`: the lines that `BuildKit`'s tools read, one status a line on standard error.
//!
//! A task is a vertex; it is told when it starts and when it ends, and what a command prints are logs of it.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use wharf_spec::Digest;

use super::{How, Renderer, Update};

/// Writes lines; `now` is the clock.
pub(super) struct RawJson<W> {
    out: W,
    now: fn() -> Timestamp,
    tasks: Vec<Vertex>,
}

#[derive(Clone, Serialize)]
struct Vertex {
    digest: Digest,
    name: String,
    started: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<Timestamp>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cached: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Progressed {
    id: String,
    vertex: Digest,
    current: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    timestamp: Timestamp,
    started: Timestamp,
}

#[derive(Serialize)]
struct Log {
    vertex: Digest,
    stream: u8,
    data: String,
    timestamp: Timestamp,
}

#[derive(Default, Serialize)]
struct Status<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    vertexes: Option<[&'a Vertex; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statuses: Option<[Progressed; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logs: Option<[Log; 1]>,
}

impl<W: Write> RawJson<W> {
    pub(super) fn new(out: W, now: fn() -> Timestamp) -> Self {
        Self { out, now, tasks: Vec::new() }
    }

    fn line(out: &mut W, status: &Status<'_>) {
        if let Ok(mut text) = serde_json::to_vec(status) {
            text.push(b'\n');
            // Whoever reads progress may have gone; the work goes on.
            let _ = out.write_all(&text);
        }
    }

    fn end(&mut self, task: usize, cached: bool, error: Option<&str>) {
        let now = (self.now)();
        if let Some(vertex) = self.tasks.get_mut(task - 1) {
            vertex.completed = Some(now);
            vertex.cached = cached;
            vertex.error = error.map(str::to_owned);
            Self::line(&mut self.out, &Status { vertexes: Some([vertex]), ..Status::default() });
        }
    }
}

impl<W: Write + Send> Renderer for RawJson<W> {
    fn update(&mut self, task: usize, update: &Update) {
        let now = (self.now)();
        if let Update::Started { label } = update {
            let digest = Digest::sha256(format!("{task} {label}").as_bytes());
            let vertex =
                Vertex { digest, name: label.clone(), started: now, completed: None, cached: false, error: None };
            self.tasks.push(vertex);
        }
        let Some(vertex) = self.tasks.get(task - 1) else { return };
        match update {
            Update::Started { .. } => {
                Self::line(&mut self.out, &Status { vertexes: Some([vertex]), ..Status::default() });
            }
            Update::Output { stderr, line } => {
                let data = STANDARD.encode(format!("{line}\n"));
                let log = Log { vertex: vertex.digest, stream: if *stderr { 2 } else { 1 }, data, timestamp: now };
                Self::line(&mut self.out, &Status { logs: Some([log]), ..Status::default() });
            }
            Update::Bytes { done, total } => {
                let progressed = Progressed {
                    id: vertex.name.clone(),
                    vertex: vertex.digest,
                    current: *done,
                    total: *total,
                    timestamp: now,
                    started: vertex.started,
                };
                Self::line(&mut self.out, &Status { statuses: Some([progressed]), ..Status::default() });
            }
            Update::Done { how, elapsed: _ } => self.end(task, *how == How::Cached, None),
            Update::Failed { reason } => self.end(task, false, Some(reason)),
            // The words by which readers of BuildKit's lines know it.
            Update::Cancelled => self.end(task, false, Some("context canceled")),
        }
    }

    fn close(&mut self) {
        let _ = self.out.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lines_have_the_shape_that_buildkit_gives_them() {
        let mut raw = RawJson::new(Vec::new(), || Timestamp::UNIX_EPOCH);
        raw.update(1, &Update::Started { label: "[1/2] RUN make".into() });
        raw.update(1, &Update::Output { stderr: true, line: "hi".into() });
        raw.update(1, &Update::Done { how: How::Cached, elapsed: Duration::ZERO });
        raw.update(2, &Update::Started { label: "push".into() });
        raw.update(2, &Update::Bytes { done: 1, total: Some(2) });
        raw.update(2, &Update::Failed { reason: "no".into() });
        let lines: Vec<serde_json::Value> =
            raw.out.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        assert_eq!(lines.len(), 6);
        let digest = &lines[0]["vertexes"][0]["digest"];
        assert_eq!(lines[0]["vertexes"][0]["name"], "[1/2] RUN make");
        assert_eq!(lines[0]["vertexes"][0]["started"], "1970-01-01T00:00:00Z");
        assert_eq!((&lines[1]["logs"][0]["vertex"], &lines[1]["logs"][0]["stream"]), (digest, &2.into()));
        assert_eq!(lines[1]["logs"][0]["data"], "aGkK");
        assert_eq!(lines[2]["vertexes"][0]["cached"], true);
        assert_eq!((&lines[4]["statuses"][0]["current"], &lines[4]["statuses"][0]["total"]), (&1.into(), &2.into()));
        assert_eq!(lines[5]["vertexes"][0]["error"], "no");
    }
}
