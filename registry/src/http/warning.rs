//! `Warning: 299 - "text"` headers (distribution-spec, "Warnings"): what a person should know although nothing failed.
//! Clients show them: containerd, podman, `wharf`. All of an answer's warnings together have 4096 bytes at most.

use std::str::FromStr;

use http::{HeaderMap, HeaderValue, header};

/// Bytes that all warnings of one answer may have together.
const ALL: usize = 4096;

/// A text that can be sent as a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice(HeaderValue);

/// Why a text cannot be sent as a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoticeError {
    /// There is nothing in it.
    #[error("a notice needs a text")]
    Empty,
    /// It has line breaks, or characters that a header cannot carry.
    #[error("a notice is one line of printable ASCII characters")]
    Unprintable,
    /// It is too long.
    #[error("a notice has at most {max} bytes, with quotes and backslashes counting twice", max = ALL / 2)]
    TooLong,
}

impl FromStr for Notice {
    type Err = NoticeError;

    fn from_str(text: &str) -> Result<Self, NoticeError> {
        if text.trim().is_empty() {
            return Err(NoticeError::Empty);
        }
        if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return Err(NoticeError::Unprintable);
        }
        let escaped = text.trim().replace('\\', "\\\\").replace('"', "\\\"");
        // The other half is for what the registry itself has to say.
        if escaped.len() > ALL / 2 {
            return Err(NoticeError::TooLong);
        }
        let value = HeaderValue::try_from(format!("299 - \"{escaped}\"")).map_err(|_| NoticeError::Unprintable)?;
        Ok(Self(value))
    }
}

/// Says `notice` with this answer, if there is room for it.
pub(super) fn warn(headers: &mut HeaderMap, notice: &Notice) {
    let said: usize = headers.get_all(header::WARNING).iter().map(HeaderValue::len).sum();
    if said + notice.0.len() <= ALL {
        headers.append(header::WARNING, notice.0.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_a_quoted_string() {
        for (text, expected) in [
            (" read-only on Friday ", Ok(r#"299 - "read-only on Friday""#)),
            (r#"say "hi" \o/"#, Ok(r#"299 - "say \"hi\" \\o/""#)),
            ("", Err(NoticeError::Empty)),
            ("two\r\nlines", Err(NoticeError::Unprintable)),
            ("schön", Err(NoticeError::Unprintable)),
        ] {
            let notice = text.parse::<Notice>();
            assert_eq!(notice.as_ref().map(|notice| notice.0.to_str().unwrap()), expected.as_ref().copied(), "{text}");
        }
        assert_eq!("\"".repeat(1025).parse::<Notice>(), Err(NoticeError::TooLong));
    }

    #[test]
    fn all_warnings_together_are_bounded() {
        let notice: Notice = "x".repeat(2000).parse().unwrap();
        let mut headers = HeaderMap::new();
        for _ in 0..4 {
            warn(&mut headers, &notice);
        }
        assert_eq!(headers.get_all(header::WARNING).iter().count(), 2);
    }
}
