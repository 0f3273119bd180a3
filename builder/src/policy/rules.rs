//! Rules in JSON, as `BuildKit`'s source policies write them, and what they make of a source.

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;

/// A source is converted so often and not more: a rule that always matches would never end.
const MOST_CONVERSIONS: usize = 20;

/// Something that a build takes files from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// `docker-image://docker.io/library/alpine:latest`, `https://…`, `git://host/path#ref:dir`, `local://context`.
    pub(super) identifier: String,
    /// `http.checksum`, `git.fullurl`, …
    pub(super) attributes: BTreeMap<String, String>,
}

/// Why a source may not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A rule says so.
    #[error("the source policy denies {0}")]
    Denied(String),
    /// Rules that convert each other's results.
    #[error("the source policy converts {0} again and again")]
    Endless(String),
    /// It would be something that cannot take its place.
    #[error("the source policy makes {to} of {from}, which cannot take its place: {why}")]
    Unfit {
        /// What it was.
        from: String,
        /// What it would be.
        to: String,
        /// Why that does not do.
        why: String,
    },
    /// A program says so.
    #[error("the policy {policy} denies {of}{}", reasons(.messages))]
    Refused {
        /// Its files.
        policy: String,
        /// Which source.
        of: String,
        /// Its `deny_msg`.
        messages: Vec<String>,
    },
    /// A program asks for what is not known.
    #[error("{place} asks for {field} of {of}, which Wharf does not know")]
    Unknown {
        /// File and line.
        place: String,
        /// `input.image.signatures`, …
        field: String,
        /// Which source.
        of: String,
    },
    /// A program gives no answer.
    #[error("the policy {policy} gives no answer about {of}: {reason}")]
    Unusable {
        /// Its files.
        policy: String,
        /// Which source.
        of: String,
        /// Why not.
        reason: String,
    },
}

fn reasons(messages: &[String]) -> String {
    if messages.is_empty() { String::new() } else { format!(": {}", messages.join("; ")) }
}

impl PolicyError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Denied(_) | Self::Endless(_) | Self::Unfit { .. } => None,
            Self::Refused { policy, .. } => Some(format!(
                "use a source that {policy} allows, or change the policy; `wharf policy eval SOURCE` asks it alone"
            )),
            Self::Unknown { field, .. } if field == "input.http.checksum" => {
                Some("say what the file has to be: ADD --checksum=sha256:…".to_owned())
            }
            Self::Unknown { field, .. } if field.starts_with("input.git.") => {
                Some("it is known for sources that name a whole commit, refs/tags/TAG or refs/heads/BRANCH".to_owned())
            }
            Self::Unknown { .. } | Self::Unusable { .. } => {
                Some("change the policy, or build without it: --policy reset=true, --policy disabled=true".to_owned())
            }
        }
    }
}

/// Why a policy cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// It is no JSON, or JSON of another shape.
    #[error("it is no source policy")]
    Shape(#[from] serde_json::Error),
    /// Of another version.
    #[error("it is of version {0}; version 1 is known")]
    Version(i64),
    /// A rule that cannot be meant.
    #[error("rule {number}: {what}")]
    Rule {
        /// From 1.
        number: usize,
        /// What is wrong with it.
        what: String,
    },
}

/// The rules of one file, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    action: Action,
    /// As written.
    identifier: String,
    matcher: Matcher,
    constraints: Vec<(String, Condition)>,
    updates: Option<Updates>,
}

#[derive(Clone, Debug)]
enum Matcher {
    Exact,
    Pattern(Regex),
}

#[derive(Clone, Debug)]
enum Condition {
    Equal(String),
    NotEqual(String),
    Matches(Regex),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    #[serde(default)]
    version: Option<i64>,
    #[serde(default)]
    rules: Vec<RuleFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[serde(default)]
    action: Action,
    selector: SelectorFile,
    #[serde(default)]
    updates: Option<Updates>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SelectorFile {
    identifier: String,
    #[serde(default, alias = "matchType")]
    match_type: MatchType,
    #[serde(default)]
    constraints: Vec<ConstraintFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConstraintFile {
    key: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    condition: AttributeMatch,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Updates {
    #[serde(default)]
    identifier: String,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

/// What a rule does. Left out, the first, as everywhere in this format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum Action {
    #[default]
    #[serde(rename = "ALLOW")]
    Allow,
    #[serde(rename = "DENY")]
    Deny,
    #[serde(rename = "CONVERT")]
    Convert,
}

#[derive(Clone, Copy, Default, Deserialize)]
enum MatchType {
    #[default]
    #[serde(rename = "WILDCARD")]
    Wildcard,
    #[serde(rename = "EXACT")]
    Exact,
    #[serde(rename = "REGEX")]
    Regex,
}

#[derive(Clone, Copy, Default, Deserialize)]
enum AttributeMatch {
    #[default]
    #[serde(rename = "EQUAL")]
    Equal,
    #[serde(rename = "NOTEQUAL")]
    NotEqual,
    #[serde(rename = "MATCHES")]
    Matches,
}

impl Rules {
    /// Reads the JSON form. What it does not know, it refuses: a rule that is not applied protects nobody.
    pub(super) fn parse(text: &str) -> Result<Self, PolicyFileError> {
        let file: PolicyFile = serde_json::from_str(text)?;
        if let Some(version) = file.version.filter(|version| !(0..=1).contains(version)) {
            return Err(PolicyFileError::Version(version));
        }
        let rule =
            |(number, rule): (usize, RuleFile)| Rule::read(rule).map_err(|what| PolicyFileError::Rule { number, what });
        (1..).zip(file.rules).map(rule).collect::<Result<_, _>>().map(Self)
    }
}

impl Rule {
    fn read(RuleFile { action, selector, updates }: RuleFile) -> Result<Self, String> {
        let SelectorFile { identifier, match_type, constraints } = selector;
        let regex =
            |text: &str| Regex::new(text).map_err(|error| format!("`{text}` is no regular expression: {error}"));
        let matcher = match match_type {
            MatchType::Exact => Matcher::Exact,
            MatchType::Regex => Matcher::Pattern(regex(&identifier)?),
            MatchType::Wildcard if identifier.contains("**") => {
                return Err(format!("`{identifier}` has `**`: one `*` stands for anything"));
            }
            MatchType::Wildcard => {
                let parts: Vec<String> = identifier.split('*').map(regex::escape).collect();
                Matcher::Pattern(regex(&format!("^{}$", parts.join("(.*)")))?)
            }
        };
        if action == Action::Convert && updates.is_none() {
            return Err("CONVERT needs `updates`, which say what the source becomes".to_owned());
        }
        let condition = |one: ConstraintFile| {
            let condition = match one.condition {
                AttributeMatch::Equal => Condition::Equal(one.value),
                AttributeMatch::NotEqual => Condition::NotEqual(one.value),
                AttributeMatch::Matches => Condition::Matches(regex(&one.value)?),
            };
            Ok((one.key, condition))
        };
        let constraints = constraints.into_iter().map(condition).collect::<Result<_, String>>()?;
        Ok(Self { action, identifier, matcher, constraints, updates })
    }

    fn matches(&self, source: &Source) -> bool {
        let attribute = |name: &str| source.attributes.get(name).map(String::as_str).unwrap_or_default();
        let holds = |(name, condition): &(String, Condition)| match condition {
            Condition::Equal(value) => attribute(name) == value,
            Condition::NotEqual(value) => attribute(name) != value,
            Condition::Matches(regex) => regex.is_match(attribute(name)),
        };
        self.constraints.iter().all(holds)
            && (self.identifier == source.identifier
                || match &self.matcher {
                    Matcher::Exact => false,
                    Matcher::Pattern(regex) => regex.is_match(&source.identifier),
                })
    }

    /// What the rule makes of a source that it matches.
    fn converted(&self, source: &Source) -> Source {
        let Some(updates) = &self.updates else { return source.clone() };
        let identifier = match &self.matcher {
            // Only its attributes change.
            _ if updates.identifier.is_empty() => source.identifier.clone(),
            Matcher::Pattern(regex) if regex.is_match(&source.identifier) => {
                regex.replace_all(&source.identifier, updates.identifier.as_str()).into_owned()
            }
            Matcher::Pattern(_) | Matcher::Exact => updates.identifier.clone(),
        };
        let attributes = source.attributes.clone().into_iter().chain(updates.attrs.clone()).collect();
        Source { identifier, attributes }
    }
}

/// What all policies make of a source. The last rule of a file that allows or denies it counts; whatever a rule converts is
/// looked at again from the beginning.
pub(super) fn evaluate(policies: &[Rules], source: Source) -> Result<Source, PolicyError> {
    let mut now = source;
    for _ in 0..=MOST_CONVERSIONS {
        match once(policies, &now)? {
            Some(next) => now = next,
            None => return Ok(now),
        }
    }
    Err(PolicyError::Endless(now.identifier))
}

fn once(policies: &[Rules], source: &Source) -> Result<Option<Source>, PolicyError> {
    for Rules(rules) in policies {
        let mut denied = false;
        for rule in rules.iter().filter(|rule| rule.matches(source)) {
            match rule.action {
                Action::Allow => denied = false,
                Action::Deny => denied = true,
                Action::Convert => {
                    let next = rule.converted(source);
                    if next != *source {
                        return Ok(Some(next));
                    }
                }
            }
        }
        if denied {
            return Err(PolicyError::Denied(source.identifier.clone()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(identifier: &str) -> Source {
        Source { identifier: identifier.to_owned(), attributes: BTreeMap::new() }
    }

    fn made(rules: &str, identifier: &str) -> Result<String, PolicyError> {
        let rules = Rules::parse(&format!("{{\"version\":1,\"rules\":[{rules}]}}")).unwrap();
        evaluate(&[rules], source(identifier)).map(|source| source.identifier)
    }

    #[test]
    fn the_last_rule_of_a_file_counts() {
        let rule =
            |action: &str, what: &str| format!(r#"{{"action":"{action}","selector":{{"identifier":"{what}"}}}}"#);
        let both = format!("{},{}", rule("DENY", "docker-image://*"), rule("ALLOW", "docker-image://docker.io/*"));
        assert!(made(&both, "docker-image://docker.io/a:1").is_ok());
        assert_eq!(made(&both, "docker-image://h/a:1"), Err(PolicyError::Denied("docker-image://h/a:1".to_owned())));
        assert!(made(&rule("DENY", "docker-image://a"), "docker-image://ab").is_ok(), "the whole name");
        assert!(made("", "docker-image://a").is_ok());
    }

    #[test]
    fn sources_become_others() {
        for (selector, becomes, of, expected) in [
            (r#""identifier":"docker-image://a:1""#, "docker-image://a:2", "docker-image://a:1", "docker-image://a:2"),
            (
                r#""identifier":"docker-image://*:1""#,
                "docker-image://m/${1}:2",
                "docker-image://a/b:1",
                "docker-image://m/a/b:2",
            ),
            (
                r#""identifier":"^https://(\\w+)/x","matchType":"REGEX""#,
                "https://m/$1/x",
                "https://h/x",
                "https://m/h/x",
            ),
            (r#""identifier":"https://h/x","match_type":"EXACT""#, "https://m/x", "https://h/xy", "https://h/xy"),
        ] {
            let rule =
                format!(r#"{{"action":"CONVERT","selector":{{{selector}}},"updates":{{"identifier":"{becomes}"}}}}"#);
            assert_eq!(made(&rule, of).unwrap(), expected, "{rule}");
        }
        let swap = r#"{"action":"CONVERT","selector":{"identifier":"a"},"updates":{"identifier":"b"}},
                      {"action":"CONVERT","selector":{"identifier":"b"},"updates":{"identifier":"a"}}"#;
        assert!(matches!(made(swap, "a"), Err(PolicyError::Endless(_))));
    }

    #[test]
    fn attributes_are_looked_at_and_set() {
        let text = r#"{"rules":[
            {"action":"CONVERT","selector":{"identifier":"https://h/*"},"updates":{"attrs":{"http.checksum":"sha256:1"}}},
            {"action":"DENY","selector":{"identifier":"https://*","constraints":[{"key":"http.checksum","condition":"EQUAL"}]}}]}"#;
        let rules = [Rules::parse(text).unwrap()];
        assert!(evaluate(&rules, source("https://m/x")).is_err(), "without a checksum");
        let checked = evaluate(&rules, source("https://h/x")).unwrap();
        assert_eq!(
            (checked.identifier.as_str(), checked.attributes["http.checksum"].as_str()),
            ("https://h/x", "sha256:1")
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for (text, words) in [
            ("[", "it is no source policy"),
            (r#"{"version":2}"#, "version 2"),
            (r#"{"rules":[{"action":"DENY","selectr":{}}]}"#, "it is no source policy"),
            (r#"{"rules":[{"action":"CONVERT","selector":{"identifier":"a"}}]}"#, "rule 1: CONVERT needs"),
            (r#"{"rules":[{"action":"DENY","selector":{"identifier":"a**"}}]}"#, "has `**`"),
            (
                r#"{"rules":[{"action":"DENY","selector":{"identifier":"(","matchType":"REGEX"}}]}"#,
                "no regular expression",
            ),
        ] {
            let error = Rules::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
