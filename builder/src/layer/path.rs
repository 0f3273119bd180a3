//! Paths inside a layer: relative to the image's root, normalised, and bytes rather than text.
//!
//! A [`LayerPath`] never starts with `/`, never holds `.`, `..`, an empty component or a NUL byte, so joining it to a
//! directory cannot leave that directory unless a symlink does. The root itself is the empty path. This module knows
//! no file system.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Linux's limit for one path component.
const NAME_MAX: usize = 255;
/// Linux's limit for a path, without its terminating NUL.
const PATH_MAX: usize = 4095;

/// A normalised path inside a layer.
///
/// The order is that of a depth-first walk with sorted names: a directory stands right before everything beneath it,
/// which plain byte order does not give (`a-b` sorts before `a/b`).
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct LayerPath(Box<[u8]>);

/// Why bytes are no path of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// `..` leads above the root.
    #[error("the path leads above the root of the image")]
    Escapes,
    /// A NUL byte.
    #[error("the path holds a NUL byte")]
    Nul,
    /// More than 255 bytes in one component or more than 4095 in all: Linux can store neither.
    #[error("the path is longer than Linux allows")]
    TooLong,
}

impl LayerPath {
    /// The root of the image.
    pub fn root() -> Self {
        Self::default()
    }

    /// Normalises `raw`: leading `/`, `.` and doubled `/` vanish, `a/..` cancels out.
    pub fn parse(raw: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let raw = raw.as_ref();
        if raw.contains(&0) {
            return Err(PathError::Nul);
        }
        let mut out = Vec::with_capacity(raw.len());
        for component in raw.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => {
                    if out.is_empty() {
                        return Err(PathError::Escapes);
                    }
                    out.truncate(out.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                }
                name => {
                    if name.len() > NAME_MAX {
                        return Err(PathError::TooLong);
                    }
                    push(&mut out, name);
                }
            }
        }
        if out.len() > PATH_MAX { Err(PathError::TooLong) } else { Ok(Self(out.into())) }
    }

    /// The path with these bytes, which are those of one already.
    pub(super) fn from_normal(bytes: &[u8]) -> Self {
        debug_assert!(Self::parse(bytes).is_ok_and(|path| *path.0 == *bytes), "not normal");
        Self(bytes.into())
    }

    /// Like [`LayerPath::parse`], but `..` at the root stays at the root, as `chdir` and Dockerfile sources have it.
    pub fn parse_clipped(raw: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let mut kept: Vec<&[u8]> = Vec::new();
        for component in raw.as_ref().split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => {
                    kept.pop();
                }
                name => kept.push(name),
            }
        }
        Self::parse(kept.join(&b'/'))
    }

    /// `self/name`. `name` is one component.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        debug_assert!(!name.contains(&b'/') && !matches!(name, b"" | b"." | b".."), "not a component");
        if name.len() > NAME_MAX || self.0.len() + 1 + name.len() > PATH_MAX {
            return Err(PathError::TooLong);
        }
        let mut out = Vec::with_capacity(self.0.len() + 1 + name.len());
        out.extend_from_slice(&self.0);
        push(&mut out, name);
        Ok(Self(out.into()))
    }

    /// `self/below`, both normalised already.
    pub fn join_path(&self, below: &Self) -> Result<Self, PathError> {
        if self.is_root() {
            return Ok(below.clone());
        }
        if below.is_root() {
            return Ok(self.clone());
        }
        if self.0.len() + 1 + below.0.len() > PATH_MAX {
            return Err(PathError::TooLong);
        }
        let mut out = Vec::with_capacity(self.0.len() + 1 + below.0.len());
        out.extend_from_slice(&self.0);
        push(&mut out, &below.0);
        Ok(Self(out.into()))
    }

    /// The bytes, `/` between components.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same, for `std`. The root is the empty path.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory it lies in; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() { None } else { Some(Self(self.parent_bytes().into())) }
    }

    /// The bytes of the directory it lies in, empty for the root and for what lies in the root.
    pub fn parent_bytes(&self) -> &[u8] {
        self.0.iter().rposition(|byte| *byte == b'/').map_or(&[], |at| &self.0[..at])
    }

    /// The last component; empty for the root.
    pub fn file_name(&self) -> &[u8] {
        self.0.iter().rposition(|byte| *byte == b'/').map_or(&self.0, |at| &self.0[at + 1..])
    }

    /// The components from the root down.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }

    /// Every directory above it, the root first.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        let root = (!self.is_root()).then(Self::root);
        let below = self.0.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        root.into_iter().chain(below.map(|(at, _)| Self(self.0[..at].into())))
    }

    /// Whether it is `other` or lies beneath it.
    pub fn starts_with(&self, other: &Self) -> bool {
        match self.0.strip_prefix(&*other.0) {
            Some(rest) => rest.is_empty() || other.is_root() || rest[0] == b'/',
            None => false,
        }
    }

    /// The path relative to `base`, when it is `base` or lies beneath it.
    pub fn strip_prefix(&self, base: &Self) -> Option<Self> {
        if !self.starts_with(base) {
            return None;
        }
        let rest = &self.0[base.0.len()..];
        Some(Self(rest.strip_prefix(b"/").unwrap_or(rest).into()))
    }
}

fn push(out: &mut Vec<u8>, name: &[u8]) {
    if !out.is_empty() {
        out.push(b'/');
    }
    out.extend_from_slice(name);
}

/// Compares two normalised paths in walk order.
pub(super) fn walk_order(a: &[u8], b: &[u8]) -> Ordering {
    // Neighbours share most of their path: skip that in strides.
    const STRIDE: usize = 32;
    let same = a.chunks_exact(STRIDE).zip(b.chunks_exact(STRIDE)).take_while(|(x, y)| x == y).count() * STRIDE;
    let differ = a[same..].iter().zip(&b[same..]).position(|(x, y)| x != y);
    match differ.map(|at| same + at) {
        None => a.len().cmp(&b.len()),
        // A separator ends a name, and a shorter name comes first.
        Some(at) if a[at] == b'/' => Ordering::Less,
        Some(at) if b[at] == b'/' => Ordering::Greater,
        Some(at) => a[at].cmp(&b[at]),
    }
}

impl Ord for LayerPath {
    fn cmp(&self, other: &Self) -> Ordering {
        walk_order(&self.0, &other.0)
    }
}

impl PartialOrd for LayerPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> LayerPath {
        LayerPath::parse(text).unwrap()
    }

    #[test]
    fn normalises() {
        for (raw, expect) in
            [("/a//b/./c/", "a/b/c"), ("./", ""), ("", ""), ("a/../b", "b"), ("a/b/../..", ""), ("/", "")]
        {
            assert_eq!(path(raw).as_bytes(), expect.as_bytes(), "{raw}");
        }
        assert_eq!(LayerPath::parse("a/../../b"), Err(PathError::Escapes));
        assert_eq!(LayerPath::parse(".."), Err(PathError::Escapes));
        assert_eq!(LayerPath::parse("a\0b"), Err(PathError::Nul));
        assert_eq!(LayerPath::parse("n".repeat(256)), Err(PathError::TooLong));
        assert_eq!(LayerPath::parse("ab/".repeat(1400)), Err(PathError::TooLong));
        assert_eq!(LayerPath::parse_clipped("../../a/../b").unwrap(), path("b"));
    }

    #[test]
    fn orders_as_a_walk() {
        let mut paths: Vec<_> = ["a/b", "a-b", "a", "a/b/c", "a/b-c", "", "b"].map(path).into();
        paths.sort();
        let sorted: Vec<_> = paths.iter().map(|path| String::from_utf8_lossy(path.as_bytes()).into_owned()).collect();
        assert_eq!(sorted, ["", "a", "a/b", "a/b/c", "a/b-c", "a-b", "b"]);
    }

    #[test]
    fn takes_paths_apart() {
        let deep = path("usr/lib/x");
        assert_eq!(deep.parent(), Some(path("usr/lib")));
        assert_eq!(deep.file_name(), b"x");
        assert_eq!(path("usr").parent(), Some(LayerPath::root()));
        assert_eq!(LayerPath::root().parent(), None);
        assert_eq!(deep.ancestors().collect::<Vec<_>>(), [LayerPath::root(), path("usr"), path("usr/lib")]);
        assert_eq!(LayerPath::root().ancestors().count(), 0);
        assert!(deep.starts_with(&path("usr")) && deep.starts_with(&LayerPath::root()) && deep.starts_with(&deep));
        assert!(!path("usr2").starts_with(&path("usr")));
        assert_eq!(deep.strip_prefix(&path("usr")), Some(path("lib/x")));
        assert_eq!(path("a").join_path(&path("b/c")).unwrap(), path("a/b/c"));
    }
}
