//! Tests of policies: rules that begin with `test_`, in files that end in `_test.rego`, as `buildx policy test` has them.

use serde_json::Value;

use super::engine::Program;
use super::words::Words;
use super::{BuildPolicyError, PolicyFiles, PolicyText, decision, package, with_imports};

/// What begins the name of a test.
const PREFIX: &str = "test_";

/// A test that was run.
#[derive(Clone, Debug)]
pub struct Tested {
    /// Its name.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What the policy decides of the test's input, where it decides.
    pub allow: Option<bool>,
    /// Why it denies.
    pub messages: Vec<String>,
    /// The input, where the test has exactly one.
    pub input: Option<Value>,
    /// The decision as it is.
    pub decision: Option<Value>,
    /// What the policy and the test printed.
    pub prints: Vec<String>,
}

/// Why tests could not be run.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The policy or the tests cannot be read.
    #[error(transparent)]
    Policy(#[from] BuildPolicyError),
    /// There is none, or none of that name.
    #[error("no tests found")]
    None,
    /// A test that gives no answer.
    #[error("{test}: {reason}")]
    Test {
        /// Its name.
        test: String,
        /// Why not.
        reason: String,
    },
}

/// Runs the tests of a policy the names of which contain `only`, by name.
pub fn run_suite(
    policy: PolicyText,
    tests: Vec<PolicyText>,
    files: &PolicyFiles,
    only: &str,
) -> Result<Vec<Tested>, SuiteError> {
    let mut named: Vec<(String, String, Option<String>)> = Vec::new();
    for PolicyText { text, .. } in &tests {
        let package = package(text).join(".");
        for (name, rule) in Words::of(text).rules(PREFIX) {
            let mut inputs = Words::of(rule).inputs();
            inputs.dedup();
            // Docker shows an input only where there is no doubt which one is meant.
            let input = match inputs.as_slice() {
                [input] => Some((*input).to_owned()),
                _ => None,
            };
            if name.contains(only) && !named.iter().any(|(known, ..)| *known == name) {
                named.push((name, package.clone(), input));
            }
        }
    }
    let texts = std::iter::once(policy).chain(tests).collect();
    let program = Program::of(with_imports(texts, files)?, files).map_err(BuildPolicyError::Text)?;
    if named.is_empty() {
        return Err(SuiteError::None);
    }
    named.sort();
    named.into_iter().map(|(name, package, input)| run(&program, &name, &package, input.as_deref())).collect()
}

fn run(program: &Program, name: &str, package: &str, input: Option<&str>) -> Result<Tested, SuiteError> {
    let failed = |reason: String| SuiteError::Test { test: name.to_owned(), reason };
    let ran = program.evaluate(&format!("data.{package}.{name}"), None, "").map_err(failed)?;
    // A term that is made of other rules is not known outside of them.
    let input = input.and_then(|term| program.term(term).ok().flatten());
    let decided = program.evaluate(&format!("data.{package}.decision"), input.as_ref(), "").ok();
    let decided = decided.and_then(|decided| decided.value);
    let read = decided.clone().and_then(|value| decision(Some(value)).ok());
    let says = decided.as_ref().is_some_and(|value| value.get("allow").is_some());
    Ok(Tested {
        name: name.to_owned(),
        passed: ran.value == Some(Value::Bool(true)),
        allow: read.as_ref().filter(|_| says).map(|decision| decision.allow),
        messages: read.map(|decision| decision.messages).unwrap_or_default(),
        input,
        decision: decided,
        prints: ran.prints,
    })
}
