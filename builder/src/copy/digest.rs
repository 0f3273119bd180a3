//! What of a `COPY`'s sources counts for its key: names below the copied thing, kinds, modes, owners, extended
//! attributes and contents. Times do not, nor does the directory a source is in.

use std::collections::HashMap;

use wharf_spec::{Algorithm, Digest, Hasher};

use crate::files::{Files, FilesError, Found, Selection};
use crate::layer::{Entry, Kind, LayerPath};

/// The digest of each file's content, by path.
pub(crate) type ContentDigests = HashMap<LayerPath, Digest>;

/// The digest of everything selected, in order, and that of each file.
pub(crate) fn digest_selections(
    files: &dyn Files,
    selections: &[Selection],
) -> Result<(Digest, ContentDigests), FilesError> {
    let all = selections.iter().flat_map(|selection| std::iter::once(&selection.top).chain(&selection.below));
    let regular: Vec<&Found> = all.filter(|found| matches!(found.entry.kind, Kind::File { .. })).collect();
    files.prepare(&regular);
    let mut hasher = Fields { hasher: Hasher::new(Algorithm::Sha256), contents: HashMap::new() };
    for selection in selections {
        hasher.field(&selection.name);
        hasher.found(files, &selection.top, b"")?;
        hasher.number(selection.below.len() as u64);
        for found in &selection.below {
            let relative = found.entry.path.strip_prefix(&selection.top.entry.path).unwrap_or_default();
            hasher.found(files, found, relative.as_bytes())?;
        }
    }
    Ok((hasher.hasher.finish(), hasher.contents))
}

/// Hashes fields so that no two lists of fields look alike.
struct Fields {
    hasher: Hasher,
    contents: ContentDigests,
}

impl Fields {
    fn number(&mut self, value: u64) {
        self.hasher.update(&value.to_le_bytes());
    }

    fn field(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.hasher.update(bytes);
    }

    fn found(&mut self, files: &dyn Files, found: &Found, name: &[u8]) -> Result<(), FilesError> {
        self.field(name);
        self.entry(&found.entry);
        if matches!(found.entry.kind, Kind::File { .. }) {
            let digest = files.content(found)?;
            self.field(digest.as_bytes());
            self.contents.insert(found.entry.path.clone(), digest);
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) {
        for value in [entry.mode, entry.uid, entry.gid] {
            self.number(u64::from(value));
        }
        let (tag, detail): (u8, Vec<u8>) = match &entry.kind {
            Kind::File { size } => (0, size.to_le_bytes().to_vec()),
            Kind::Dir => (1, Vec::new()),
            Kind::Symlink { target } => (2, target.clone()),
            Kind::Char { major, minor } => (3, [major.to_le_bytes(), minor.to_le_bytes()].concat()),
            Kind::Block { major, minor } => (4, [major.to_le_bytes(), minor.to_le_bytes()].concat()),
            Kind::Fifo => (5, Vec::new()),
            Kind::Hardlink { target } => (6, target.as_bytes().to_vec()),
            Kind::Whiteout => (7, Vec::new()),
            Kind::Opaque => (8, Vec::new()),
        };
        self.hasher.update(&[tag]);
        self.field(&detail);
        self.number(entry.xattrs.len() as u64);
        for (name, value) in &entry.xattrs {
            self.field(name);
            self.field(value);
        }
    }
}
