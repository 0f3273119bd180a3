//! `wharf build --check` and `--call`: answers about a Dockerfile, as text or in Docker's JSON shape.

use std::io::IsTerminal as _;

use base64::Engine as _;
use serde_json::{Value, json};
use wharf_builder::dockerfile::outline::{Outline, Target, Use};
use wharf_builder::dockerfile::{Diagnostic, Level, Span, render};
use wharf_builder::{BuildError, BuildRequest, Checked, DockerfileText, check, outline, targets};

use crate::args::{Call, Question};
use crate::bases::Bases;
use crate::failure::Failure;
use crate::output;
use crate::session::Session;
use crate::stores::OpenStore;

/// Something to answer.
pub struct Asked<'a> {
    /// What.
    pub question: Question,
    /// And how.
    pub call: Call,
    /// About which Dockerfile.
    pub request: &'a BuildRequest,
    /// Whether registries are asked for newer base images.
    pub pull: bool,
}

/// An answer in Docker's JSON shape.
pub struct Answer {
    /// The answer.
    pub value: Value,
    /// What keeps the Dockerfile from being built, where that was the question.
    pub error: Option<String>,
    /// Whether it makes the command fail.
    pub bad: bool,
}

/// Prints the answer.
pub async fn answer(session: &Session, store: &OpenStore, asked: &Asked<'_>) -> Result<(), Failure> {
    if asked.call.json {
        let answer = json_answer(session, store, asked).await?;
        output::json(&answer.value)?;
        return if answer.bad { Err(Failure::silent()) } else { Ok(()) };
    }
    let Asked { question, call, request, .. } = *asked;
    match question {
        Question::Check => {
            let checked = checked(session, store, asked).await;
            check_text(&checked, &request.dockerfile, session.color && std::io::stdout().is_terminal())?;
            if is_bad(&checked, call) { Err(Failure::silent()) } else { Ok(()) }
        }
        Question::Outline => outline_text(&outline(request).map_err(|error| refused(session, request, error))?),
        Question::Targets => targets_text(&targets(request).map_err(|error| refused(session, request, error))?),
    }
}

/// The answer, for whoever prints it with others.
pub async fn json_answer(session: &Session, store: &OpenStore, asked: &Asked<'_>) -> Result<Answer, Failure> {
    let Asked { question, call, request, .. } = *asked;
    let source = &request.dockerfile;
    let good = |value| Answer { value, error: None, bad: false };
    match question {
        Question::Check => {
            let checked = checked(session, store, asked).await;
            let show = |diagnostic: &Diagnostic| render(diagnostic, &source.name, &source.text, false);
            let (error, bad) = (checked.error.as_ref().map(show), is_bad(&checked, call));
            Ok(Answer { value: check_json(&checked, source), error, bad })
        }
        Question::Outline => {
            let outline = outline(request).map_err(|error| refused(session, request, error))?;
            Ok(good(outline_json(&outline, source)))
        }
        Question::Targets => {
            let targets = targets(request).map_err(|error| refused(session, request, error))?;
            Ok(good(targets_json(&targets, source)))
        }
    }
}

async fn checked(session: &Session, store: &OpenStore, asked: &Asked<'_>) -> Checked {
    check(asked.request, &Bases::new(session, store, asked.pull)).await
}

fn refused(session: &Session, request: &BuildRequest, error: BuildError) -> Failure {
    let source = &request.dockerfile;
    match error {
        BuildError::Dockerfile(diagnostics) => {
            let all = diagnostics.iter().map(|one| render(one, &source.name, &source.text, session.color));
            Failure::rendered(all.collect::<String>().trim_end().to_owned())
        }
        other => Failure::new("could not look at the Dockerfile").because(other),
    }
}

/// Findings are a failure unless nobody cares; a file that cannot be built is one in any case.
fn is_bad(checked: &Checked, call: Call) -> bool {
    checked.error.is_some() || !(checked.findings.is_empty() || call.ignore_status)
}

fn check_text(checked: &Checked, source: &DockerfileText, color: bool) -> Result<(), Failure> {
    let show = |diagnostic: &Diagnostic| render(diagnostic, &source.name, &source.text, color);
    let level = if checked.strict { Level::Error } else { Level::Warning };
    let mut text: Vec<String> = checked.findings.iter().map(|finding| show(&finding.diagnostic(level))).collect();
    text.extend(checked.error.iter().map(show));
    text.push(match (checked.findings.len(), &checked.error) {
        (_, Some(_)) => "Check complete: this Dockerfile cannot be built\n".to_owned(),
        (0, None) => "Check complete, no warnings found.\n".to_owned(),
        (1, None) => "Check complete, 1 warning has been found!\n".to_owned(),
        (many, None) => format!("Check complete, {many} warnings have been found!\n"),
    });
    output::print(text.join("\n").as_bytes())
}

fn check_json(checked: &Checked, source: &DockerfileText) -> Value {
    let warnings: Vec<Value> = checked
        .findings
        .iter()
        .map(|finding| {
            json!({
                "ruleName": finding.rule.name,
                "description": finding.rule.summary,
                "url": finding.rule.url(),
                "detail": finding.detail,
                "location": location(finding.statement, source),
            })
        })
        .collect();
    let data = base64::engine::general_purpose::STANDARD.encode(&source.text);
    let mut answer = json!({
        "warnings": warnings,
        "sources": [{ "filename": source.name, "language": "Dockerfile", "data": data }],
    });
    if let Some(error) = &checked.error {
        let place = error.primary_span().map(|span| location(span, source));
        answer["buildError"] = json!({ "message": error.title, "location": place });
    }
    answer
}

fn location(span: Span, source: &DockerfileText) -> Value {
    let lines = span.lines(&source.text);
    json!({ "ranges": [{ "start": { "line": lines.start() }, "end": { "line": lines.end() } }] })
}

fn outline_json(outline: &Outline, source: &DockerfileText) -> Value {
    let uses = |list: &[Use], key: &str| -> Vec<Value> {
        let one = |used: &Use| {
            let mut value = json!({ key: used.id, "location": location(used.span, source) });
            if used.required {
                value["required"] = json!(true);
            }
            value
        };
        list.iter().map(one).collect()
    };
    let args = outline.args.iter().map(|arg| {
        let value = json!({ "name": arg.name, "location": location(arg.span, source) });
        with(with(value, "description", arg.description.as_deref()), "value", arg.value.as_deref())
    });
    let mut answer = with(json!({ "name": outline.name }), "description", outline.description.as_deref());
    let lists = [
        ("args", args.collect()),
        ("secrets", uses(&outline.secrets, "name")),
        ("ssh", uses(&outline.ssh, "name")),
        ("cache", uses(&outline.caches, "ID")),
    ];
    for (name, list) in lists {
        if !list.is_empty() {
            answer[name] = json!(list);
        }
    }
    answer["sources"] = json!([base64::engine::general_purpose::STANDARD.encode(&source.text)]);
    answer
}

/// Docker leaves empty fields out.
fn with(mut value: Value, name: &str, text: Option<&str>) -> Value {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        value[name] = json!(text);
    }
    value
}

fn targets_json(targets: &[Target], source: &DockerfileText) -> Value {
    let one = |target: &Target| {
        let value = json!({ "name": target.name, "base": target.base, "location": location(target.span, source) });
        let value = with(value, "description", target.description.as_deref());
        let mut value = with(value, "platform", target.platform.as_deref());
        if target.default {
            value["default"] = json!(true);
        }
        value
    };
    let list: Vec<Value> = targets.iter().map(one).collect();
    json!({ "targets": list, "sources": [base64::engine::general_purpose::STANDARD.encode(&source.text)] })
}

fn targets_text(targets: &[Target]) -> Result<(), Failure> {
    let row = |target: &Target| {
        let default = if target.default { " (default)" } else { "" };
        [format!("{}{default}", target.name), target.description.clone().unwrap_or_default()]
    };
    output::table(["TARGET", "DESCRIPTION"], &targets.iter().map(row).collect::<Vec<_>>())
}

fn outline_text(outline: &Outline) -> Result<(), Failure> {
    let mut heading = format!("TARGET:      {}\n", outline.name);
    if let Some(description) = &outline.description {
        heading.push_str(&format!("DESCRIPTION: {description}\n"));
    }
    output::print(heading.as_bytes())?;
    if !outline.args.is_empty() {
        output::line("")?;
        let rows = outline.args.iter().map(|arg| {
            [arg.name.clone(), arg.value.clone().unwrap_or_default(), arg.description.clone().unwrap_or_default()]
        });
        output::table(["BUILD ARG", "VALUE", "DESCRIPTION"], &rows.collect::<Vec<_>>())?;
    }
    for (head, list) in [("SECRET", &outline.secrets), ("SSH", &outline.ssh)] {
        if !list.is_empty() {
            output::line("")?;
            let row = |used: &Use| [used.id.clone(), if used.required { "true".to_owned() } else { String::new() }];
            output::table([head, "REQUIRED"], &list.iter().map(row).collect::<Vec<_>>())?;
        }
    }
    if !outline.caches.is_empty() {
        output::line("")?;
        output::table(["CACHE MOUNT"], &outline.caches.iter().map(|used| [used.id.clone()]).collect::<Vec<_>>())?;
    }
    Ok(())
}
