//! What the operator wants for tags: how much of their history is kept, which never move, which are deleted.

use wharf_spec::{RepositoryName, Tag};

use super::pattern::Pattern;

/// Settings of a store's repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Versions of a tag that are remembered; the newest always is.
    pub history: usize,
    /// Versions that something else took the place of longer ago than this, in seconds, are forgotten when retention
    /// runs; deleted tags likewise. Nothing is forgotten by age without it.
    pub history_age: Option<u64>,
    /// The rules, in the order they are written.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Repositories it is about.
    pub repositories: Vec<Pattern>,
    /// Tags it is about.
    pub tags: Vec<Pattern>,
    /// Tags it is not about.
    pub except: Vec<Pattern>,
    /// What it says of them.
    pub action: Action,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The tags never move, and are not deleted.
    Immutable,
    /// All but these tags are deleted. A tag stays when any reason to keep it holds.
    Keep {
        /// The newest so many of each repository.
        last: Option<usize>,
        /// Those that changed within so many seconds.
        newer: Option<u64>,
    },
    /// Manifests that nothing names are deleted when they are older than so many seconds.
    Untagged {
        /// Seconds.
        older: u64,
    },
}

impl Default for Policy {
    fn default() -> Self {
        Self { history: 100, history_age: None, rules: Vec::new() }
    }
}

impl Rule {
    /// Whether it is about this repository.
    pub fn concerns(&self, name: &RepositoryName) -> bool {
        self.repositories.iter().any(|pattern| pattern.fits(name.as_str()))
    }

    /// Whether it is about this tag of a repository that it concerns. What belongs to another manifest by its name
    /// (`sha256-…`: signatures, lists of referrers) is meant only by a pattern that begins so.
    pub fn covers(&self, tag: &Tag) -> bool {
        let fits = |pattern: &&Pattern| {
            pattern.fits(tag.as_str()) && (!is_attached(tag) || pattern.as_str().starts_with(attachment(tag)))
        };
        self.tags.iter().any(|pattern| fits(&pattern)) && !self.except.iter().any(|pattern| pattern.fits(tag.as_str()))
    }
}

impl Policy {
    /// Whether any rule may forbid tags of this repository to move.
    pub(super) fn has_immutable(&self, name: &RepositoryName) -> bool {
        self.rules.iter().any(|rule| rule.action == Action::Immutable && rule.concerns(name))
    }

    /// Whether this tag must not move.
    pub fn is_immutable(&self, name: &RepositoryName, tag: &Tag) -> bool {
        let forbids = |rule: &Rule| rule.action == Action::Immutable && rule.concerns(name) && rule.covers(tag);
        // Clients of older registries move these with every signature.
        !is_attached(tag) && self.rules.iter().any(forbids)
    }

    /// How old a manifest must be that nothing names, in seconds, to be deleted; the most careful rule counts.
    pub(super) fn untagged_age(&self, name: &RepositoryName) -> Option<u64> {
        let ages = self.rules.iter().filter_map(|rule| match rule.action {
            Action::Untagged { older } if rule.concerns(name) => Some(older),
            Action::Untagged { .. } | Action::Keep { .. } | Action::Immutable => None,
        });
        ages.max()
    }

    /// Whether retention has anything to look for.
    pub fn has_retention(&self) -> bool {
        self.history_age.is_some() || self.rules.iter().any(|rule| rule.action != Action::Immutable)
    }
}

/// Tags that belong to the manifest whose digest they begin with (distribution-spec, "Referrers Tag Schema"; cosign).
fn is_attached(tag: &Tag) -> bool {
    ["sha256-", "sha512-"].iter().any(|prefix| tag.as_str().starts_with(prefix))
}

fn attachment(tag: &Tag) -> &str {
    &tag.as_str()[..7]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(tags: &[&str], except: &[&str], action: Action) -> Rule {
        let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::new(*text)).collect();
        Rule { repositories: patterns(&["prod/**"]), tags: patterns(tags), except: patterns(except), action }
    }

    #[test]
    fn rules_are_about_what_their_patterns_say() {
        let name: RepositoryName = "prod/team/app".parse().unwrap();
        let other: RepositoryName = "dev/app".parse().unwrap();
        let policy = Policy { rules: vec![rule(&["v*"], &["*-rc*"], Action::Immutable)], ..Policy::default() };
        let immutable = |name, tag: &str| policy.is_immutable(name, &tag.parse().unwrap());
        assert!(immutable(&name, "v1") && !immutable(&name, "v1-rc1") && !immutable(&name, "latest"));
        assert!(!immutable(&other, "v1"));
        assert!(policy.has_immutable(&name) && !policy.has_immutable(&other) && !policy.has_retention());
    }

    #[test]
    fn what_is_attached_to_a_manifest_never_is_immutable_and_retained_only_on_demand() {
        let tag: Tag = "sha256-0123.sig".parse().unwrap();
        let name: RepositoryName = "prod/app".parse().unwrap();
        let policy = Policy { rules: vec![rule(&["sha256-*"], &[], Action::Immutable)], ..Policy::default() };
        assert!(!policy.is_immutable(&name, &tag));
        let keep = Action::Keep { last: Some(1), newer: None };
        assert!(!rule(&["*"], &[], keep).covers(&tag) && rule(&["sha256-*"], &[], keep).covers(&tag));
    }

    #[test]
    fn the_most_careful_rule_about_untagged_manifests_counts() {
        let name: RepositoryName = "prod/app".parse().unwrap();
        let rules = [5, 9, 7].map(|older| rule(&["*"], &[], Action::Untagged { older }));
        let policy = Policy { rules: rules.into(), ..Policy::default() };
        assert_eq!(policy.untagged_age(&name), Some(9));
        assert_eq!(policy.untagged_age(&"dev".parse().unwrap()), None);
    }
}
