//! What the operator wants for tags: how many versions are remembered.

/// Settings of a store's repositories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Versions of a tag that are remembered; the newest always is.
    pub history: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self { history: 100 }
    }
}
