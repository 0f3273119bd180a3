//! The variables of a stage as far as the file and what is known of its base say.

use super::super::expand::{Expansion, Lookup, Reference};

/// Names and values, in no order that matters.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    values: Vec<(String, String)>,
    /// Declared without a value: unset, but known.
    declared: Vec<String>,
}

impl Scope {
    pub(super) fn of(values: &[(String, String)]) -> Self {
        Self { values: values.to_vec(), declared: Vec::new() }
    }

    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.values.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.values.push((name.to_owned(), value.into()));
    }

    pub(super) fn declare(&mut self, name: &str) {
        self.declared.push(name.to_owned());
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(name, _)| name).chain(&self.declared).map(String::as_str)
    }

    /// Expands something here. What cannot be expanded is an error elsewhere, and says nothing here.
    pub(super) fn expand<T, E>(
        &self,
        expand: impl FnOnce(&Lookup<'_>) -> Result<Expansion<T>, E>,
    ) -> Option<Expansion<T>> {
        expand(&|name| self.get(name)).ok()
    }

    /// References to what nobody has heard of, unless their author provided for that. Each name once.
    pub(super) fn unheard_of(&self, references: Vec<Reference>) -> Vec<Reference> {
        let mut found: Vec<Reference> = Vec::new();
        for reference in references {
            let known = reference.defined
                || reference.guarded
                || self.declared.contains(&reference.name)
                || found.iter().any(|before| before.name == reference.name);
            if !known {
                found.push(reference);
            }
        }
        found
    }
}
