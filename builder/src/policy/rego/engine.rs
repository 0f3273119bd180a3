//! The interpreter of Rego. Nobody else knows which one it is.
//!
//! An evaluation ends after a while, whatever the policy says, and one that goes wrong is an error: never an answer.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Error as InterpreterError, anyhow};
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};

use super::files::PolicyFiles;
use super::words::{Named, Words};

/// An evaluation that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// The clock is looked at after so many expressions.
const BETWEEN_LOOKS: NonZeroU32 = NonZeroU32::new(256).unwrap();
/// What the interpreter says where there is no rule of a name.
const NO_RULE: &str = "not a valid rule path";
/// Where a policy's answer stands.
const DECISION: &str = "data.docker.decision";
/// Functions of Docker's that look at signatures, and how many arguments they take.
const UNKNOWN: [(&str, u8); 4] = [
    ("verify_git_signature", 2),
    ("verify_http_pgp_signature", 3),
    ("github_attestation", 2),
    ("artifact_attestation", 2),
];
/// The function that says which image is meant.
const PIN: &str = "pin_image";

/// Policy files that are read, and can be asked.
#[derive(Clone)]
pub(super) struct Program {
    engine: Engine,
    modules: Arc<Vec<Module>>,
    noted: Noted,
}

/// A file of a policy.
#[derive(Clone, Debug)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) text: String,
}

/// What our functions note for whoever evaluates.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    /// What a function could not do. One that fails is undefined to the interpreter, and a rule with it does not hold, which
    /// may be what allows: so it is kept here, and is the end of the evaluation.
    failure: Option<String>,
    /// What the image is to be.
    pins: BTreeSet<String>,
}

impl Noted {
    fn fail(&self, reason: String) -> Result<Value, InterpreterError> {
        self.with(|notes| notes.failure = notes.failure.take().or_else(|| Some(reason.clone())));
        Err(anyhow!(reason))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Notes) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What came of an evaluation.
#[derive(Debug)]
pub(super) struct Evaluated {
    /// The value; `None` when it is undefined.
    pub(super) value: Option<serde_json::Value>,
    /// What the policy printed.
    pub(super) prints: Vec<String>,
    /// What it was asked of `input`.
    pub(super) asked: Vec<Asked>,
    /// Digests that the image is to have.
    pub(super) pins: BTreeSet<String>,
}

/// A field that an evaluation looked at, or may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) what: Named,
    /// `FILE:LINE`
    pub(super) place: String,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("modules", &self.modules.len()).finish_non_exhaustive()
    }
}

impl Program {
    /// Reads files. What is wrong with them is said with file, line and excerpt.
    pub(super) fn of(modules: Vec<Module>, files: &PolicyFiles) -> Result<Self, String> {
        let mut engine = Engine::new();
        engine.set_gather_prints(true);
        engine.set_enable_coverage(true);
        engine.set_strict_builtin_errors(false);
        engine.set_execution_timer_config(ExecutionTimerConfig { limit: PATIENCE, check_interval: BETWEEN_LOOKS });
        let noted = Noted::default();
        functions(&mut engine, files, &noted)?;
        for module in &modules {
            let (name, text) = (module.name.clone(), module.text.clone());
            guarded(|| engine.add_policy(name, text)).map_err(|error| said(&error))?;
        }
        Ok(Self { engine, modules: Arc::new(modules), noted })
    }

    /// What the policy decides of `input`. `object` is what of `input` the fields of which are watched.
    pub(super) fn decide(&self, input: &serde_json::Value, object: &str) -> Result<Evaluated, String> {
        self.evaluate(DECISION, Some(input), object)
    }

    /// The value of a rule.
    pub(super) fn evaluate(
        &self,
        rule: &str,
        input: Option<&serde_json::Value>,
        object: &str,
    ) -> Result<Evaluated, String> {
        let mut engine = self.engine.clone();
        self.noted.with(|notes| *notes = Notes::default());
        if let Some(input) = input {
            engine.set_input(value_of(input)?);
        }
        let value = guarded(|| engine.eval_rule(rule.to_owned()));
        let Notes { failure, pins } = self.noted.with(std::mem::take);
        if let Some(failure) = failure {
            return Err(failure);
        }
        let value = match value.map_err(|error| said(&error)) {
            Ok(value) => json_of(&value)?,
            // It is not only undefined: there is no such rule.
            Err(reason) if reason.contains(NO_RULE) => None,
            Err(reason) => return Err(reason),
        };
        let prints = engine.take_prints().unwrap_or_default();
        let report = engine.get_coverage_report().map_err(|error| said(&error))?;
        let mut asked = Vec::new();
        for module in self.modules.iter() {
            // Of a file that nothing is said of, nothing was evaluated. Of a line that nothing is said of, it is not known: so it
            // counts as reached.
            let Some(file) = report.files.iter().find(|file| file.path == module.name) else { continue };
            let reached = |line: u32| file.covered.contains(&line) || !file.not_covered.contains(&line);
            for mention in Words::of(&module.text).mentions(object) {
                if (mention.first..=mention.line).any(reached) {
                    asked.push(Asked { what: mention.what, place: format!("{}:{}", module.name, mention.line) });
                }
            }
        }
        Ok(Evaluated { value, prints, asked, pins })
    }

    /// The value of a term that stands in a policy.
    pub(super) fn term(&self, term: &str) -> Result<Option<serde_json::Value>, String> {
        let mut engine = self.engine.clone();
        let results = guarded(|| engine.eval_query(term.to_owned(), false)).map_err(|error| said(&error))?;
        let value = results.result.first().and_then(|result| result.expressions.first());
        value.map_or(Ok(None), |expression| json_of(&expression.value))
    }
}

/// The functions that Docker adds to Rego's own.
fn functions(engine: &mut Engine, files: &PolicyFiles, noted: &Noted) -> Result<(), String> {
    let (files, notes) = (files.clone(), noted.clone());
    let load = move |arguments: Vec<Value>| {
        let [Value::String(name)] = arguments.as_slice() else {
            return notes.fail("load_json takes the name of a file".to_owned());
        };
        let text = match files.read(name) {
            Ok(text) => text,
            Err(error) => return notes.fail(format!("load_json(\"{name}\"): {error}")),
        };
        Value::from_json_str(&text)
            .or_else(|error| notes.fail(format!("load_json(\"{name}\"): it is no JSON: {}", said(&error))))
    };
    engine.add_extension("load_json".to_owned(), 1, Box::new(load)).map_err(|error| said(&error))?;
    let notes = noted.clone();
    let pin = move |arguments: Vec<Value>| match arguments.as_slice() {
        [Value::Object(_), Value::String(digest)] => {
            notes.with(|notes| notes.pins.insert(digest.to_string()));
            Ok(Value::Bool(true))
        }
        _ => notes.fail(format!("{PIN} takes input.image and a digest")),
    };
    engine.add_extension(PIN.to_owned(), 2, Box::new(pin)).map_err(|error| said(&error))?;
    for (name, arguments) in UNKNOWN {
        let notes = noted.clone();
        let refuse = move |_: Vec<Value>| notes.fail(format!("Wharf does not offer the function `{name}`"));
        engine.add_extension(name.to_owned(), arguments, Box::new(refuse)).map_err(|error| said(&error))?;
    }
    Ok(())
}

/// Runs the interpreter. Where it panics, that is its error, not the end of the build's process.
fn guarded<T>(work: impl FnOnce() -> Result<T, InterpreterError>) -> Result<T, InterpreterError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(anyhow!("the interpreter of policies failed")))
}

fn value_of(json: &serde_json::Value) -> Result<Value, String> {
    Value::from_json_str(&json.to_string()).map_err(|error| said(&error))
}

fn json_of(value: &Value) -> Result<Option<serde_json::Value>, String> {
    if *value == Value::Undefined {
        return Ok(None);
    }
    let text = value.to_json_str().map_err(|error| said(&error))?;
    serde_json::from_str(&text).map(Some).map_err(|error| error.to_string())
}

/// The interpreter's words. They begin with an empty line when they show an excerpt.
fn said(error: &InterpreterError) -> String {
    format!("{error:#}").trim().to_owned()
}
