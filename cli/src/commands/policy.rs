//! `wharf policy`: a build policy asked about one source, and its tests.

use std::path::{Path, PathBuf};

use serde_json::Value;
use wharf_builder::BaseError;
use wharf_builder::git::GitSource;
use wharf_builder::policy::{
    BuildPolicy, Circumstances, Policies, PolicyFiles, PolicyText, Subject, SuiteError, Tested, ask_about_image,
    described, run_suite,
};
use wharf_spec::{Platform, Reference};

use crate::args::PolicyCommand;
use crate::bases::Bases;
use crate::builds::read_text;
use crate::failure::Failure;
use crate::output;
use crate::programs::{beside, refused, unusable};
use crate::session::Session;
use crate::stores::OpenStore;

/// How the names of files with tests end.
const TESTS: &str = "_test.rego";

/// Asks, or tests.
pub async fn run(session: &Session, command: PolicyCommand) -> Result<(), Failure> {
    match command {
        PolicyCommand::Eval { file, print, fields, platform, source } => {
            let source = Source::parse(&source)?;
            let platform = platform.unwrap_or_else(Platform::host);
            if print {
                show(session, &source, &platform, &fields).await
            } else {
                ask(session, &source, &platform, &file).await
            }
        }
        PolicyCommand::Test { file, run, path } => test(&file, &run, &path),
    }
}

/// Something a build could use.
enum Source {
    Image(Reference),
    Repository(GitSource, String),
    Url(String),
    Local,
}

impl Source {
    /// Reads a source as Docker's command has it.
    fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |error: &dyn std::fmt::Display| Failure::usage(format!("{text} is no source: {error}"));
        if let Some(name) = text.strip_prefix("docker-image://") {
            return name.parse().map(Self::Image).map_err(|error: wharf_spec::ReferenceError| wrong(&error));
        }
        if let Some(source) = GitSource::parse(text) {
            return source.map(|source| Self::Repository(source, text.to_owned())).map_err(|error| wrong(&error));
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Url(text.to_owned()));
        }
        if Path::new(text).exists() {
            return Ok(Self::Local);
        }
        Err(wrong(&"there is no such directory").hint(format!("an image is docker-image://{text}")))
    }

    fn subject(&self, platform: &Platform) -> Subject {
        match self {
            Self::Image(reference) => Subject::image(reference, platform),
            Self::Repository(source, text) => Subject::repository(source, text.clone()),
            Self::Url(url) => Subject::url(url, None),
            Self::Local => Subject::local("context"),
        }
    }
}

fn here() -> PolicyFiles {
    PolicyFiles { context: Some(PathBuf::from(".")), here: PathBuf::from(".") }
}

fn policy_of(file: &Path) -> Result<PolicyText, Failure> {
    beside(file)?.ok_or_else(|| {
        Failure::usage(format!("there is no policy {}.rego", file.display()))
            .hint("--filename FILE asks the policy of another Dockerfile, FILE.rego")
    })
}

async fn ask(session: &Session, source: &Source, platform: &Platform, file: &Path) -> Result<(), Failure> {
    let text = policy_of(file)?;
    let name = text.name.clone();
    let filename = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let circumstances = Circumstances { filename, ..Circumstances::default() };
    let policy = BuildPolicy::read(vec![text], &here(), &circumstances).map_err(|error| unusable(&name, error))?;
    let mut policies = Policies::default();
    policies.add_program(policy);
    let denied = |error| refused("the policy does not allow it".to_owned(), error);
    match source {
        Source::Image(reference) => {
            let store = OpenStore::open(session).await?;
            let asked = ask_about_image(&policies, reference, platform, &Bases::new(session, &store, false)).await;
            asked.map_err(|error| match error {
                BaseError::Policy { source, .. } => denied(source),
                other => Failure::new("the image could not be looked at").because(other),
            })
        }
        Source::Repository(source, _) => policies.repository(source.clone()).map(drop).map_err(denied),
        Source::Url(url) => policies.url(url, None).map(drop).map_err(denied),
        Source::Local => policies.local("context").map_err(denied),
    }
}

async fn show(session: &Session, source: &Source, platform: &Platform, fields: &[String]) -> Result<(), Failure> {
    let mut subject = source.subject(platform);
    let unresolved = subject.unresolved();
    for field in fields {
        let field = field.strip_prefix("input.").unwrap_or(field);
        if !unresolved.iter().any(|name| name == field) {
            session.voice().say(&format!("warning: {field} is nothing that has to be looked up"));
        }
    }
    if let (Source::Image(reference), false) = (source, fields.is_empty()) {
        let store = OpenStore::open(session).await?;
        let found = described(reference, platform, &Bases::new(session, &store, false)).await;
        subject = found.map_err(|error| Failure::new("the image could not be looked at").because(error))?;
    }
    let unresolved = subject.unresolved();
    if !unresolved.is_empty() {
        session.voice().say(&format!("not looked up: {}", unresolved.join(", ")));
    }
    output::line(&pretty(&subject.input()))
}

fn test(file: &Path, only: &str, path: &Path) -> Result<(), Failure> {
    let policy = policy_of(file)?;
    let mut tests = Vec::new();
    for path in test_files(path)? {
        tests.push(PolicyText { name: path.display().to_string(), text: read_text(&path, "the tests")? });
    }
    let tested = run_suite(policy, tests, &here(), only).map_err(|error| match error {
        SuiteError::Policy(error) => Failure::usage("the policy or its tests cannot be used").because(error),
        SuiteError::None => Failure::usage("there is no test").hint("a test is a rule: test_NAME if { … }"),
        other @ SuiteError::Test { .. } => Failure::new("the tests could not be run").because(other),
    })?;
    let mut text = String::new();
    for one in &tested {
        text.push_str(&told(one));
    }
    output::print(text.as_bytes())?;
    match tested.iter().filter(|one| !one.passed).count() {
        0 => Ok(()),
        failed => Err(Failure::new(format!("{failed} of {} tests failed", tested.len()))),
    }
}

/// The files with tests that a path means, in order.
fn test_files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let is_test = |path: &Path| path.to_string_lossy().ends_with(TESTS);
    let failed = |error| Failure::usage(format!("the tests {} cannot be read", path.display())).because(error);
    if !path.metadata().map_err(failed)?.is_dir() {
        if is_test(path) {
            return Ok(vec![path.to_path_buf()]);
        }
        return Err(Failure::usage(format!("{} is no file with tests", path.display()))
            .hint(format!("their names end in {TESTS}")));
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?.path();
        if is_test(&entry) && entry.is_file() {
            files.push(entry);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(Failure::usage(format!("there are no files *{TESTS} in {}", path.display())));
    }
    Ok(files)
}

/// A test's line, and of one that failed what it was about, as Docker prints them.
fn told(tested: &Tested) -> String {
    let Tested { name, passed, allow, messages, input, decision, prints } = tested;
    let verdict = if *passed { "PASS" } else { "FAIL" };
    let allow = allow.map_or_else(|| "n/a".to_owned(), |allow| allow.to_string());
    let why = if messages.is_empty() { String::new() } else { format!(", deny_msg={}", messages.join("; ")) };
    let mut text = format!("{name}: {verdict} (allow={allow}{why})\n");
    if !passed {
        let shown = |value: &Option<Value>, what: &str| match value {
            Some(value) => format!("{what}:\n{}\n", pretty(value)),
            None => format!("{what}: <nil>\n"),
        };
        text.push_str(&shown(input, "input"));
        text.push_str(&shown(decision, "decision"));
        for line in prints {
            text.push_str(&format!("{line}\n"));
        }
    }
    text
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
