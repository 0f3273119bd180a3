//! Build policies: programs in Rego that are asked about every source, as Docker's `buildx` has them.
//!
//! A policy that cannot be read, that fails, or that asks for what nobody here knows is an error. It never counts as one that
//! allows.

mod calls;
mod engine;
mod files;
mod input;
mod suite;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use wharf_spec::Digest;

use super::PolicyError;
use engine::{Asked, Evaluated, Module, Program};
pub use files::{PolicyFiles, PolicyReadError};
pub use input::Subject;
pub use suite::{SuiteError, Tested, run_suite};
use words::{Named, Words};

/// What Docker's policies may call without saying where it is.
const FUNCTIONS: &str = include_str!("functions.rego");
/// What messages call it.
const FUNCTIONS_NAME: &str = "docker_github_builder";
/// So many files of one policy are read and not more.
const MOST_MODULES: usize = 256;

/// What a policy may know of the build besides its sources.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// `--build-arg`
    pub arguments: BTreeMap<String, String>,
    /// `--label`
    pub labels: BTreeMap<String, String>,
    /// The Dockerfile's name, without directories.
    pub filename: String,
    /// `--target`
    pub target: Option<String>,
}

/// A policy that can be asked.
#[derive(Clone, Debug)]
pub struct BuildPolicy {
    name: String,
    program: Program,
    environment: Value,
}

/// A file of a policy: what it is called, and what it says.
#[derive(Clone, Debug)]
pub struct PolicyText {
    /// As the user knows it.
    pub name: String,
    /// The text.
    pub text: String,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BuildPolicyError {
    /// It is no Rego, or calls what there is not.
    #[error("{0}")]
    Text(String),
    /// What it imports is not there.
    #[error("{module} imports data.{path}")]
    Import {
        /// Who imports.
        module: String,
        /// What.
        path: String,
        /// Why not.
        source: PolicyReadError,
    },
    /// It imports without end.
    #[error("it imports more than {MOST_MODULES} files")]
    TooMany,
    /// A function calls itself.
    #[error("the function {0} calls itself, which Rego does not allow")]
    Recursion(String),
    /// It does not decide.
    #[error("{0}")]
    Decision(String),
}

/// What a policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It may be used.
    Allowed,
    /// An image may be used as long as it is this one.
    Pinned(Digest),
    /// The source has to be looked at first.
    Describe,
}

impl BuildPolicy {
    /// Reads a policy of some files, and what they import. It is asked once without any source, so that one that does not decide
    /// is known before anything is done.
    pub fn read(
        texts: Vec<PolicyText>,
        files: &PolicyFiles,
        circumstances: &Circumstances,
    ) -> Result<Self, BuildPolicyError> {
        let name = texts.iter().map(|text| text.name.as_str()).collect::<Vec<_>>().join(", ");
        let program = Program::of(with_imports(texts, files)?, files).map_err(BuildPolicyError::Text)?;
        let policy = Self { name, program, environment: environment(circumstances) };
        let mut asking = policy.environment.clone();
        asking["capsRequest"] = json!(true);
        let evaluated = policy.program.decide(&json!({ "env": asking }), "");
        decision(evaluated.map_err(BuildPolicyError::Text)?.value).map_err(BuildPolicyError::Decision)?;
        Ok(policy)
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the policy says of a source.
    pub(crate) fn ask(&self, subject: &Subject, say: &dyn Fn(&str)) -> Result<Answer, PolicyError> {
        let failed = |reason: String| PolicyError::Unusable {
            policy: self.name.clone(),
            of: subject.identifier.clone(),
            reason,
        };
        let mut input = subject.input();
        input["env"] = self.environment.clone();
        let evaluated = self.program.decide(&input, subject.object).map_err(failed)?;
        let Evaluated { value, prints, asked, pins } = evaluated;
        let wants = |asked: &&Asked, names: &[&str], whole: bool| match &asked.what {
            Named::Field(name) => names.contains(&name.as_str()),
            Named::Whole => whole,
        };
        if !subject.later.is_empty() && asked.iter().any(|one| wants(&one, &subject.later, true)) {
            return Ok(Answer::Describe);
        }
        for line in &prints {
            say(line);
        }
        if let Some(Asked { what: Named::Field(name), place }) =
            asked.iter().find(|one| wants(one, &subject.never, false))
        {
            return Err(PolicyError::Unknown {
                place: place.clone(),
                field: format!("input.{}.{name}", subject.object),
                of: subject.identifier.clone(),
            });
        }
        let Decision { allow, messages } = decision(value).map_err(failed)?;
        say(&format!("{}: {} {}", self.name, if allow { "allows" } else { "denies" }, subject.identifier));
        if !allow {
            return Err(PolicyError::Refused { policy: self.name.clone(), of: subject.identifier.clone(), messages });
        }
        pinned(&pins).map_err(failed)
    }
}

fn pinned(pins: &BTreeSet<String>) -> Result<Answer, String> {
    match pins.iter().collect::<Vec<_>>().as_slice() {
        [] => Ok(Answer::Allowed),
        [one] => match one.parse() {
            Ok(digest) => Ok(Answer::Pinned(digest)),
            Err(error) => Err(format!("`{one}` of pin_image is no digest: {error}")),
        },
        several => Err(format!("pin_image names {} digests, and an image has one", several.len())),
    }
}

fn environment(circumstances: &Circumstances) -> Value {
    let Circumstances { arguments, labels, filename, target } = circumstances;
    let mut environment = json!({ "filename": filename, "depth": 0 });
    if !arguments.is_empty() {
        environment["args"] = json!(arguments);
    }
    if !labels.is_empty() {
        environment["labels"] = json!(labels);
    }
    if let Some(target) = target {
        environment["target"] = json!(target);
    }
    environment
}

/// What `decision` says.
#[derive(Debug)]
struct Decision {
    allow: bool,
    messages: Vec<String>,
}

fn decision(value: Option<Value>) -> Result<Decision, String> {
    let value = value.ok_or_else(|| {
        "it has no `decision`: write `decision := {\"allow\": allow}` in package docker, and \
        `default allow := false`"
            .to_owned()
    })?;
    let Value::Object(decided) = value else { return Err("its `decision` is no object".to_owned()) };
    let allow = match decided.get("allow") {
        None => false,
        Some(Value::Bool(allow)) => *allow,
        Some(_) => return Err("`allow` of its `decision` is neither true nor false".to_owned()),
    };
    if let Some(caps) = decided.get("caps") {
        let Value::Object(caps) = caps else { return Err("`caps` of its `decision` is no object".to_owned()) };
        if let Some((name, _)) = caps.iter().find(|(_, wanted)| **wanted != Value::Bool(false)) {
            return Err(format!("its `decision` asks for the capability `{name}`, which Wharf does not offer"));
        }
    }
    let messages = match decided.get("deny_msg") {
        Some(Value::String(message)) => vec![message.clone()],
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(_) | None => Vec::new(),
    };
    Ok(Decision { allow, messages })
}

/// These files, Docker's own functions, and what they all import, by the place where it has to be.
fn with_imports(texts: Vec<PolicyText>, files: &PolicyFiles) -> Result<Vec<Module>, BuildPolicyError> {
    let mut modules: Vec<Module> = texts.into_iter().map(|PolicyText { name, text }| Module { name, text }).collect();
    modules.push(Module { name: FUNCTIONS_NAME.to_owned(), text: FUNCTIONS.to_owned() });
    let mut at = 0;
    while let Some(module) = modules.get(at) {
        let mut found = Vec::new();
        for path in Words::of(&module.text).imports() {
            let name = format!("{}.rego", path.join("/"));
            let known = |module: &Module| module.name == name || package(&module.text) == path;
            if !path.is_empty() && !modules.iter().any(known) && !found.iter().any(known) {
                let text = files.read(&name).map_err(|source| BuildPolicyError::Import {
                    module: module.name.clone(),
                    path: path.join("."),
                    source,
                })?;
                found.push(Module { text: moved(&text, &path), name });
            }
        }
        modules.extend(found);
        if modules.len() > MOST_MODULES {
            return Err(BuildPolicyError::TooMany);
        }
        at += 1;
    }
    match calls::recursion(&modules) {
        Some(function) => Err(BuildPolicyError::Recursion(function)),
        None => Ok(modules),
    }
}

fn package(text: &str) -> Vec<String> {
    Words::of(text).package().map(|(path, _)| path).unwrap_or_default()
}

/// The text in the package it is imported as, as Docker has it: its place counts, not what it says.
fn moved(text: &str, path: &[String]) -> String {
    let Some((_, place)) = Words::of(text).package() else { return text.to_owned() };
    let plain = |name: &&String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let (first, rest) = path.split_first().map_or(("", path), |(first, rest)| (first.as_str(), rest));
    let mut package = first.to_owned();
    for name in rest {
        package.push_str(&if plain(&name) { format!(".{name}") } else { format!("[{}]", json!(name)) });
    }
    format!("{}{package}{}", &text[..place.start], &text[place.end..])
}
