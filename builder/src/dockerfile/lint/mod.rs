//! The linter: what works in a Dockerfile, but is probably not meant.
//!
//! ```text
//! rules   names and summaries        names   casing, stage names, comments      bases   FROM lines
//! scope   a stage's variables        stage   instructions, in the order of lines
//! ```
//!
//! Pure, like the parser: whatever is known from elsewhere (build arguments, base images, ignore rules) comes in as
//! [`Facts`]. What is not known is not guessed: a stage on an image nobody could look at has no undefined variables.

mod bases;
mod names;
mod rules;
mod scope;
mod stage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use rules::{RULES, Rule, Standing};

use super::directive::{CheckOptions, RuleSet, inline_check};
use super::{Diagnostic, Dockerfile, Level, Origin, Span};

/// Something a rule says about a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// What it found, in a sentence.
    pub detail: String,
    /// The place.
    pub span: Span,
    /// The whole instruction it is in.
    pub statement: Span,
    /// What to do about it, when that can be said.
    pub help: Option<String>,
}

impl Finding {
    /// The finding as a message.
    pub fn diagnostic(&self, level: Level) -> Diagnostic {
        Diagnostic::new(level, self.detail.clone())
            .label(self.span, "")
            .maybe_help(self.help.clone())
            .note(format!("{}: {}", self.rule.name, self.rule.summary))
    }
}

/// What a stage starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ground {
    /// An image nobody looked at, or a context that stands in for the whole stage.
    #[default]
    Unknown,
    /// Nothing.
    Scratch,
    /// An earlier stage, by position.
    Stage(usize),
    /// An image.
    Image {
        /// Its variables.
        env: Vec<(String, String)>,
        /// Whether it sets a `SHELL`.
        shell: bool,
        /// The platform it is for, where that is not the stage's: `(stage's, image's)`.
        mismatch: Option<(String, String)>,
    },
}

/// What the file itself does not say.
pub struct Facts<'a> {
    /// `--build-arg`.
    pub build_args: &'a BTreeMap<String, String>,
    /// Names and values of the global scope's own arguments, such as `TARGETPLATFORM`.
    pub predefined: &'a [(String, String)],
    /// What each stage starts from, by position.
    pub grounds: &'a [Ground],
    /// Which stages are looked into; `FROM` lines and names are always looked at.
    pub looked_into: &'a dyn Fn(usize) -> bool,
    /// Whether an ignore file leaves out a path. Not asked of files with `!` rules.
    pub ignores: Option<&'a dyn Fn(&str) -> bool>,
}

/// Every finding in a file, in the order of places. Rules that the file skips, above an instruction or for all of it, are
/// not among them.
pub fn lint(file: &Dockerfile, facts: &Facts<'_>) -> Vec<Finding> {
    let options = options(file, facts.build_args);
    let mut findings = Findings { options: options.as_ref(), list: Vec::new() };
    names::check(file, &mut findings);
    bases::check(file, facts, &mut findings);
    stage::check(file, facts, &mut findings);
    let mut list = findings.list;
    list.sort_by_key(|finding| (finding.statement, finding.span));
    list
}

/// Whether findings are to fail the build.
pub fn fails_on_findings(file: &Dockerfile, build_args: &BTreeMap<String, String>) -> bool {
    options(file, build_args).is_some_and(|options| options.error)
}

/// The build argument that stands in for the directive.
const OPTIONS_ARGUMENT: &str = "BUILDKIT_DOCKERFILE_CHECK";

/// `# check=`, or the build argument in its place. A malformed argument counts for nothing.
fn options(file: &Dockerfile, build_args: &BTreeMap<String, String>) -> Option<CheckOptions> {
    let given = build_args.get(OPTIONS_ARGUMENT).filter(|text| !text.is_empty());
    match given {
        Some(text) => CheckOptions::parse(&super::Word::new(text.as_str(), Span::at(0))).ok(),
        None => file.directives.check.clone(),
    }
}

/// Findings so far, and the choice of rules for the whole file.
struct Findings<'a> {
    options: Option<&'a CheckOptions>,
    list: Vec<Finding>,
}

impl Findings<'_> {
    /// Notes what a rule says about a place in a statement.
    fn note(&mut self, rule: &'static Rule, origin: &Origin, span: Span, detail: String) {
        self.advise(rule, origin, span, detail, None);
    }

    /// The same, with advice.
    fn advise(&mut self, rule: &'static Rule, origin: &Origin, span: Span, detail: String, help: Option<String>) {
        if self.wants(rule) && !skipped_above(rule, origin) {
            self.list.push(Finding { rule, detail, span, statement: origin.span, help });
        }
    }

    fn wants(&self, rule: &Rule) -> bool {
        let chosen =
            |set: fn(&CheckOptions) -> &RuleSet| self.options.is_some_and(|options| set(options).contains(rule.name));
        let on = match rule.standing {
            Standing::Settled => true,
            Standing::Experimental => chosen(|options| &options.experimental),
        };
        on && !chosen(|options| &options.skip)
    }
}

/// Whether a comment directly above the instruction skips the rule there. One that is malformed skips nothing.
fn skipped_above(rule: &Rule, origin: &Origin) -> bool {
    let inline = origin.comments.iter().filter_map(inline_check).filter_map(Result::ok);
    inline.into_iter().any(|options| options.skip.contains(rule.name))
}
