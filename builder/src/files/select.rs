//! What the source of a `COPY` stands for in a tree: wildcards, links at the top, `--exclude` and `--parents`.

use super::{Files, FilesError, Found, FoundList, resolve};
use crate::ignore::IgnoreFile;
use crate::ignore::glob::{BadPattern, Glob, has_wildcards, match_go, split_wildcards};
use crate::layer::LayerPath;
use crate::plan::Parents;

/// One source of a `COPY`.
pub(crate) struct Request<'a> {
    /// As written: a path or a pattern.
    pub(crate) pattern: &'a str,
    /// `--exclude`.
    pub(crate) exclude: &'a IgnoreFile,
    /// `--parents`.
    pub(crate) parents: Parents,
}

/// One thing to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// What it is called at the destination if that is a directory.
    pub(crate) name: Vec<u8>,
    /// The thing itself; for a directory, its content is copied.
    pub(crate) top: Found,
    /// What is beneath a directory, in walk order.
    pub(crate) below: FoundList,
}

/// What a request finds.
pub(crate) enum Selected {
    /// These; none for a pattern that matches nothing.
    Things(Vec<Selection>),
    /// A path without wildcards that does not exist.
    Missing,
}

/// Why a source cannot be looked up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelectError {
    /// Not a pattern.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// The tree cannot be read.
    #[error(transparent)]
    Files(#[from] FilesError),
}

/// Looks a source up.
pub(crate) fn select(files: &dyn Files, request: &Request<'_>) -> Result<Selected, SelectError> {
    match request.parents {
        Parents::Dropped => plain(files, request),
        Parents::Kept => with_parents(files, request),
    }
}

fn plain(files: &dyn Files, request: &Request<'_>) -> Result<Selected, SelectError> {
    let clean = clean(request.pattern);
    let (directory, pattern) = split_wildcards(&clean);
    let mut things = Vec::new();
    if pattern.is_empty() {
        let path = clipped(&clean);
        let Some(top) = resolve(files, &path)? else { return Ok(Selected::Missing) };
        things.extend(selection(files, path.file_name().to_vec(), top, request.exclude)?);
        return Ok(Selected::Things(things));
    }
    let Some(base) = resolve(files, &clipped(directory))?.filter(Found::is_dir) else {
        return Ok(Selected::Things(things));
    };
    for path in matches(files, &base, pattern)? {
        if let Some(top) = resolve(files, &path)? {
            things.extend(selection(files, path.file_name().to_vec(), top, request.exclude)?);
        }
    }
    Ok(Selected::Things(things))
}

/// A source without surrounding slashes and lexical detours; `..` stays inside the root.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// A path without wildcards may still hold escapes: `\[` is a bracket.
fn clipped(path: &str) -> LayerPath {
    let mut plain = String::with_capacity(path.len());
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    // Too long a path is no path of any tree.
    LayerPath::parse_clipped(&plain).unwrap_or_default()
}

/// Paths below `base` that match `pattern`, one component at a time; links on the way are not followed.
fn matches(files: &dyn Files, base: &Found, pattern: &str) -> Result<Vec<LayerPath>, SelectError> {
    let mut found = vec![base.clone()];
    for component in pattern.split('/') {
        let mut next = Vec::new();
        for directory in found.iter().filter(|found| found.is_dir()) {
            for child in files.list(&directory.entry.path)? {
                let name = String::from_utf8_lossy(child.entry.path.file_name()).into_owned();
                if match_go(component, &name)? {
                    next.push(child);
                }
            }
        }
        found = next;
    }
    // A malformed pattern is one even where there is nothing to match.
    match_go(pattern, "")?;
    Ok(found.into_iter().map(|found| found.entry.path).collect())
}

fn selection(
    files: &dyn Files,
    name: Vec<u8>,
    top: Found,
    exclude: &IgnoreFile,
) -> Result<Option<Selection>, FilesError> {
    if !top.is_dir() {
        let excluded = exclude.excludes(&String::from_utf8_lossy(&name));
        return Ok((!excluded).then_some(Selection { name, top, below: FoundList::default() }));
    }
    let mut below = files.walk(&top)?;
    below.remove_first();
    if !exclude.is_empty() {
        let relative = |found: &Found| relative_text(found, &top);
        let kept: Vec<bool> = below.iter().map(|found| !exclude.excludes(&relative(found))).collect();
        keep_with_parents(&mut below, &kept);
    }
    Ok(Some(Selection { name, top, below }))
}

/// What is kept, and the directories above it: something may be included again below an excluded one.
fn keep_with_parents(found: &mut FoundList, kept: &[bool]) {
    let mut wanted = kept.to_vec();
    // Walk order: a directory's content follows it, so looking back from the end meets children first.
    let mut needed: Vec<LayerPath> = Vec::new();
    for (found, wanted) in found.iter().rev().zip(wanted.iter_mut().rev()) {
        let path = &found.entry.path;
        *wanted |= needed.contains(path);
        needed.retain(|parent| parent != path);
        if *wanted
            && let Some(parent) = path.parent()
            && !needed.contains(&parent)
        {
            needed.push(parent);
        }
    }
    found.keep(&wanted);
}

/// `--parents`: everything that matches, with its directories, below the part before `/./`.
fn with_parents(files: &dyn Files, request: &Request<'_>) -> Result<Selected, SelectError> {
    let (base, pattern) = request.pattern.split_once("/./").unwrap_or(("", request.pattern));
    let pattern = clean(pattern);
    let Some(top) = resolve(files, &clipped(&clean(base)))? else { return Ok(Selected::Missing) };
    if pattern.is_empty() || !top.is_dir() {
        return plain(files, &Request { pattern: base, ..*request });
    }
    let glob = Glob::new(&pattern)?;
    let mut below = files.walk(&top)?;
    below.remove_first();
    let hit = |found: &Found| {
        let text = relative_text(found, &top);
        let above = text.match_indices('/').map(|(slash, _)| &text[..slash]);
        above.chain([text.as_str()]).any(|path| glob.matches(path)) && !request.exclude.excludes(&text)
    };
    let kept: Vec<bool> = below.iter().map(hit).collect();
    if !has_wildcards(&pattern) && !kept.contains(&true) {
        return Ok(Selected::Missing);
    }
    keep_with_parents(&mut below, &kept);
    if below.len() == 0 {
        return Ok(Selected::Things(Vec::new()));
    }
    Ok(Selected::Things(vec![Selection { name: Vec::new(), top, below }]))
}

/// The path below `top`, for patterns.
fn relative_text(found: &Found, top: &Found) -> String {
    let relative = found.entry.path.strip_prefix(&top.entry.path).unwrap_or_default();
    String::from_utf8_lossy(relative.as_bytes()).into_owned()
}
