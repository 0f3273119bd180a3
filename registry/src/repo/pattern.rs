//! Patterns for names of repositories and tags: `*` is any text without a slash, `**` any text, `?` one character but a
//! slash; everything else is itself.

/// A pattern. Every text is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name fits.
    pub fn fits(&self, name: &str) -> bool {
        fits(self.0.as_bytes(), name.as_bytes())
    }
}

/// Walks both once and, on a mismatch, lets the last star take one byte more; a `*` that must not grow gives way to a `**`
/// before it. Never slower than the product of the lengths.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut narrow: Option<(usize, usize)> = None;
    let mut wide: Option<(usize, usize)> = None;
    loop {
        match pattern.get(at) {
            Some(b'*') if pattern.get(at + 1) == Some(&b'*') => {
                at += 2;
                (wide, narrow) = (Some((at, read)), None);
                continue;
            }
            Some(b'*') => {
                at += 1;
                narrow = Some((at, read));
                continue;
            }
            Some(wanted) => {
                let here = name.get(read).is_some_and(|byte| wanted == byte || (*wanted == b'?' && *byte != b'/'));
                if here {
                    at += 1;
                    read += 1;
                    continue;
                }
            }
            None if read == name.len() => return true,
            None => {}
        }
        if let Some((after, taken)) = narrow.filter(|(_, taken)| name.get(*taken).is_some_and(|byte| *byte != b'/')) {
            narrow = Some((after, taken + 1));
            (at, read) = (after, taken + 1);
        } else if let Some((after, taken)) = wide.filter(|(_, taken)| *taken < name.len()) {
            (wide, narrow) = (Some((after, taken + 1)), None);
            (at, read) = (after, taken + 1);
        } else {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, expected) in [
            ("*", "app", true),
            ("*", "team/app", false),
            ("**", "team/app", true),
            ("**", "", true),
            ("team/*", "team/app", true),
            ("team/*", "team/a/b", false),
            ("team/**", "team/a/b", true),
            ("**/app", "a/b/app", true),
            ("**/*-ci", "a/b/app-ci", true),
            ("**/*-ci", "a/b-ci/app", false),
            ("v*", "v1.2", true),
            ("v*-rc*", "v1-rc2", true),
            ("v?", "v12", false),
            ("v?", "v1", true),
            ("a?b", "a/b", false),
            ("", "", true),
            ("", "a", false),
            ("*a*b", "xaxxaxb", true),
            ("v1.0", "v1x0", false),
        ] {
            assert_eq!(Pattern::new(pattern).fits(name), expected, "{pattern} {name}");
        }
    }

    /// What the walk does, said plainly.
    fn plainly(pattern: &[u8], name: &[u8]) -> bool {
        match pattern {
            [] => name.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=name.len()).any(|taken| plainly(rest, &name[taken..])),
            [b'*', rest @ ..] => {
                let most = name.iter().position(|byte| *byte == b'/').unwrap_or(name.len());
                (0..=most).any(|taken| plainly(rest, &name[taken..]))
            }
            [wanted, rest @ ..] => name.split_first().is_some_and(|(byte, left)| {
                (wanted == byte || (*wanted == b'?' && *byte != b'/')) && plainly(rest, left)
            }),
        }
    }

    proptest! {
        #[test]
        fn the_walk_finds_what_there_is(pattern in "[ab/?*]{0,8}", name in "[ab/]{0,8}") {
            prop_assert_eq!(Pattern::new(&*pattern).fits(&name), plainly(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
