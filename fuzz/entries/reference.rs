//! Any text as an image's name: what is read says itself again, and reads as the same.

use wharf_spec::{Digest, Platform, Reference, RepositoryName, Tag};

/// The input is the text.
pub fn reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(read) = text.parse::<Reference>() {
        let said = read.to_string();
        let again = said.parse::<Reference>().unwrap_or_else(|error| panic!("{text:?} says {said:?}: {error}"));
        assert_eq!(read, again, "{text:?}");
    }
    if let Ok(name) = text.parse::<RepositoryName>() {
        assert_eq!(name.as_str(), text);
        assert!(!text.contains("..") && !text.contains("//") && !text.starts_with('/'), "{text:?}");
    }
    if let Ok(tag) = text.parse::<Tag>() {
        assert_eq!(tag.as_str(), text);
        assert!(!text.contains(['/', ':', '@']), "{text:?}");
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    if let Ok(platform) = text.parse::<Platform>() {
        let _ = platform.to_string();
    }
}
