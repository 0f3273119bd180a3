//! Repository names and tags (OCI distribution-spec, "Pulling manifests").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A repository name: path components of `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` joined by `/`, 255 characters at most.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

/// Why a text is no repository name or tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a repository name.
    #[error(
        "invalid repository name `{0}`: use lower-case letters and digits, separated by one `.`, `_`, `__` or dashes, in parts joined by `/`"
    )]
    Repository(String),
    /// A repository name that is too long.
    #[error("repository name is {0} characters long, at most 255 are allowed")]
    RepositoryTooLong(usize),
    /// Not a tag.
    #[error("invalid tag `{0}`: use up to 128 letters, digits, `_`, `.` and `-`, not starting with `.` or `-`")]
    Tag(String),
}

impl RepositoryName {
    /// The longest name accepted, in characters.
    pub const MAX_LEN: usize = 255;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Tag {
    /// The tag a reference means when it names none.
    pub fn latest() -> Self {
        Self("latest".to_owned())
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut rest = text.as_bytes();
    loop {
        let word = rest.iter().take_while(|byte| alphanumeric(byte)).count();
        if word == 0 {
            return false;
        }
        rest = &rest[word..];
        if rest.is_empty() {
            return true;
        }
        let separator = rest.iter().take_while(|byte| !alphanumeric(byte)).count();
        match &rest[..separator] {
            b"." | b"_" | b"__" => {}
            dashes if dashes.iter().all(|byte| *byte == b'-') => {}
            _ => return false,
        }
        rest = &rest[separator..];
    }
}

/// What is shown of hostile input in an error: bounded, and without control characters.
pub(crate) fn excerpt(text: &str) -> String {
    let mut shown: String = text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > Self::MAX_LEN {
            return Err(NameError::RepositoryTooLong(text.chars().count()));
        }
        if text.split('/').all(is_component) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Repository(excerpt(text)))
        }
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let later = |byte: &u8| first(*byte) || *byte == b'.' || *byte == b'-';
        match text.as_bytes() {
            [head, tail @ ..] if first(*head) && tail.len() < 128 && tail.iter().all(later) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(NameError::Tag(excerpt(text))),
        }
    }
}

macro_rules! text_type {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_type!(RepositoryName);
text_type!(Tag);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_names_follow_the_grammar() {
        for good in ["a", "a/b", "library/debian", "a.b_c__d-e---f/0", "team/app/v2"] {
            assert_eq!(good.parse::<RepositoryName>().unwrap().as_str(), good);
        }
        for bad in
            ["", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", "-a", "a-", "a._b", "..", "a/../b", "a b", "ä", "a\n"]
        {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(255).parse::<RepositoryName>().is_ok());
        assert_eq!("a".repeat(256).parse::<RepositoryName>(), Err(NameError::RepositoryTooLong(256)));
    }

    #[test]
    fn tags_follow_the_grammar() {
        for good in ["latest", "v1.0-rc_1", "_", "0", &"x".repeat(128)] {
            assert_eq!(good.parse::<Tag>().unwrap().as_str(), good);
        }
        for bad in ["", ".a", "-a", "a b", "a/b", "a:b", "a\r\n", &"x".repeat(129)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn errors_never_carry_control_characters() {
        let error = "a\r\nSet-Cookie: x".parse::<Tag>().unwrap_err().to_string();
        assert!(!error.contains('\n'), "{error}");
    }
}
