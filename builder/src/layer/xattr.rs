//! Extended attributes: which of them belong to an image, reading them, setting them.
//!
//! `security.capability` and `user.*` travel. What an overlay keeps for itself (`trusted.*`, `user.overlay.*`) and what
//! the host's policy put there (`security.selinux`, ACLs) never enters a layer, and is never taken from one: a layer
//! that could set `user.overlay.redirect` could reach other directories.

/// Whether an attribute belongs to an image.
pub(super) fn travels(name: &[u8]) -> bool {
    name == CAPABILITY || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay.") && !name.contains(&b'='))
}

/// File capabilities.
pub(super) const CAPABILITY: &[u8] = b"security.capability";
