//! `[tags]` and `[[rule]]` of the configuration file: from text to the registry's policy.

use serde::Deserialize;
use wharf_registry::repo::{Action, Pattern, Policy, Rule as TagRule};

use crate::config::Config;
use crate::failure::Failure;

/// `[tags]`: what is remembered of tags.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Tags {
    /// Versions that are remembered.
    pub history: Option<u64>,
    /// How long a version is remembered after something else took its place.
    pub history_age: Option<String>,
}

/// `[[rule]]`: which tags never move, which are deleted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Rule {
    /// Patterns of repositories; all when there are none.
    pub repositories: Vec<String>,
    /// Patterns of tags; all when there are none.
    pub tags: Vec<String>,
    /// Patterns of tags that are not meant.
    pub except: Vec<String>,
    /// The tags never move.
    pub immutable: Option<bool>,
    /// All but the newest so many are deleted.
    pub keep_last: Option<u64>,
    /// All but those that changed within this time are deleted.
    pub keep_newer: Option<String>,
    /// Manifests without a tag are deleted when they are older than this.
    pub delete_untagged: Option<String>,
}

/// The policy of a configuration.
pub fn policy(config: &Config) -> Result<Policy, Failure> {
    let defaults = Policy::default();
    let history = match config.tags.history {
        Some(0) => return Err(wrong("[tags] history", "must be 1 or more: the newest version always is remembered")),
        Some(number) => usize::try_from(number).unwrap_or(usize::MAX),
        None => defaults.history,
    };
    let history_age = config.tags.history_age.as_deref().map(|text| span("[tags] history-age", text)).transpose()?;
    let rules = config.rule.iter().zip(1..).map(|(rule, number)| tag_rule(rule, number)).collect::<Result<_, _>>()?;
    Ok(Policy { history, history_age, rules })
}

fn tag_rule(rule: &Rule, number: usize) -> Result<TagRule, Failure> {
    let named = |key: &str| format!("[[rule]] number {number}, {key}");
    let newer = rule.keep_newer.as_deref().map(|text| span(&named("keep-newer"), text)).transpose()?;
    let older = rule.delete_untagged.as_deref().map(|text| span(&named("delete-untagged"), text)).transpose()?;
    let last = rule.keep_last.map(|last| usize::try_from(last).unwrap_or(usize::MAX));
    let action = match (rule.immutable, last.is_some() || newer.is_some(), older) {
        (Some(true), false, None) => Action::Immutable,
        (None, true, None) => Action::Keep { last, newer },
        (None, false, Some(older)) => Action::Untagged { older },
        _ => {
            let what = "says one thing: `immutable = true`, `delete-untagged`, or `keep-last` and `keep-newer`";
            return Err(wrong(&format!("[[rule]] number {number}"), what));
        }
    };
    if matches!(action, Action::Untagged { .. }) && !(rule.tags.is_empty() && rule.except.is_empty()) {
        return Err(wrong(&named("tags"), "cannot be said with `delete-untagged`, which is about what has none"));
    }
    let patterns = |texts: &[String]| texts.iter().map(Pattern::new).collect::<Vec<_>>();
    let or_all = |texts: &[String]| if texts.is_empty() { vec![Pattern::new("**")] } else { patterns(texts) };
    Ok(TagRule {
        repositories: or_all(&rule.repositories),
        tags: or_all(&rule.tags),
        except: patterns(&rule.except),
        action,
    })
}

/// Seconds of a time span.
fn span(key: &str, text: &str) -> Result<u64, Failure> {
    let span = crate::span::parse(text).map_err(|problem| wrong(key, &format!("is `{text}`: {problem}")))?;
    Ok(span.as_secs())
}

fn wrong(key: &str, problem: &str) -> Failure {
    Failure::new(format!("the configuration is wrong: {key} {problem}"))
        .hint("docs/configuration.md lists every key; docs/versions.md shows rules")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Policy, String> {
        let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
        policy(&config).map_err(|failure| failure.to_string())
    }

    #[test]
    fn rules_read_as_the_page_shows_them() {
        let page = include_str!("../../docs/versions.md");
        let examples: Vec<_> = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(examples.len() >= 2, "{examples:?}");
        let mut rules = 0;
        for example in examples {
            rules += read(example).unwrap_or_else(|error| panic!("{example}\n{error}")).rules.len();
        }
        assert!(rules >= 4);
    }

    #[test]
    fn a_rule_says_one_thing() {
        let policy = read("[tags]\nhistory = 5\n[[rule]]\nkeep-last = 3\nkeep-newer = \"14d\"").unwrap();
        assert_eq!(
            (policy.history, policy.rules[0].action),
            (5, Action::Keep { last: Some(3), newer: Some(1_209_600) })
        );
        assert!(policy.rules[0].covers(&"x".parse().unwrap()) && policy.rules[0].concerns(&"a/b".parse().unwrap()));
        for bad in [
            "[[rule]]\ntags = [\"v*\"]",
            "[[rule]]\nimmutable = false",
            "[[rule]]\nimmutable = true\nkeep-last = 1",
            "[[rule]]\ndelete-untagged = \"7d\"\ntags = [\"v*\"]",
            "[[rule]]\nkeep-newer = \"d\"",
            "[[rule]]\nkeep-newer = \"99999999999999999999d\"",
            "[tags]\nhistory = 0",
            "[tags]\nhistory-age = \"soon\"",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
