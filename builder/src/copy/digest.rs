//! What of a `COPY`'s sources counts for its key: names below the copied thing, kinds, modes, owners, extended
//! attributes and contents. Times do not, nor does the directory a source is in.

use crate::files::{Files, FilesError, Found, Selection};
use crate::layer::{Entry, Fingerprint, Fingerprinter, Kind};

/// The fingerprint of everything selected, in order. Fills in what the files contain.
pub(crate) fn fingerprint_selections(
    files: &dyn Files,
    selections: &mut [Selection],
) -> Result<Fingerprint, FilesError> {
    let all =
        selections.iter_mut().flat_map(|selection| std::iter::once(&mut selection.top).chain(&mut selection.below));
    files.fingerprint(all.filter(|found| found.is_file()).collect())?;
    let mut fields = Fingerprinter::new();
    for selection in &*selections {
        fields.field(&selection.name);
        add(&mut fields, &selection.top, b"");
        number(&mut fields, selection.below.len() as u64);
        for found in &selection.below {
            let relative = found.entry.path.strip_prefix(&selection.top.entry.path).unwrap_or_default();
            add(&mut fields, found, relative.as_bytes());
        }
    }
    Ok(fields.finish())
}

fn number(fields: &mut Fingerprinter, value: u64) {
    fields.update(&value.to_le_bytes());
}

fn add(fields: &mut Fingerprinter, found: &Found, name: &[u8]) {
    fields.field(name);
    add_found(fields, found);
}

/// Takes in what counts of something found, but for its name.
pub(crate) fn add_found(fields: &mut Fingerprinter, found: &Found) {
    add_entry(fields, &found.entry);
    if let Some(content) = &found.content {
        fields.field(content.as_bytes());
    }
}

fn add_entry(fields: &mut Fingerprinter, entry: &Entry) {
    for value in [entry.mode, entry.uid, entry.gid] {
        number(fields, u64::from(value));
    }
    let mut detail = |tag: u8, detail: &[u8]| {
        fields.update(&[tag]);
        fields.field(detail);
    };
    match &entry.kind {
        Kind::File { size } => detail(0, &size.to_le_bytes()),
        Kind::Dir => detail(1, &[]),
        Kind::Symlink { target } => detail(2, target),
        Kind::Char { major, minor } => detail(3, &[major.to_le_bytes(), minor.to_le_bytes()].concat()),
        Kind::Block { major, minor } => detail(4, &[major.to_le_bytes(), minor.to_le_bytes()].concat()),
        Kind::Fifo => detail(5, &[]),
        Kind::Hardlink { target } => detail(6, target.as_bytes()),
        Kind::Whiteout => detail(7, &[]),
        Kind::Opaque => detail(8, &[]),
    }
    number(fields, entry.xattrs.len() as u64);
    for (name, value) in &entry.xattrs {
        fields.field(name);
        fields.field(value);
    }
}
