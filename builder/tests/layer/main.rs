//! Layers end to end: written, read by other tools, unpacked, mounted, compared, attacked.

#[path = "../support/mod.rs"]
mod support;

mod archives;
mod hostile;
mod overlay;
mod parsing;
mod round_trip;
mod tables;
mod writing;

use std::num::NonZeroUsize;
use std::path::Path;

use wharf_builder::layer::{
    DiffOptions, Encoding, Entry, Expected, Format, Kind, LayerPath, LayerWriter, Tree, UnpackError, UnpackOptions,
    Unpacked, WriterOptions, WrittenLayer, unpack, write_upper,
};

fn path(text: impl AsRef<[u8]>) -> LayerPath {
    LayerPath::parse(text).unwrap()
}

fn options(encoding: Encoding, threads: usize) -> WriterOptions {
    WriterOptions { threads: NonZeroUsize::new(threads).unwrap(), ..WriterOptions::new(encoding) }
}

/// Starts a plain tar in memory.
fn writer() -> LayerWriter<Vec<u8>> {
    LayerWriter::new(Vec::new(), options(Encoding::Uncompressed, 1))
}

fn file(name: impl AsRef<[u8]>, size: usize) -> Entry {
    Entry::new(path(name), Kind::File { size: size as u64 }, 0o644)
}

fn dir(name: impl AsRef<[u8]>) -> Entry {
    Entry::new(path(name), Kind::Dir, 0o755)
}

fn symlink(name: &str, target: &str) -> Entry {
    Entry::new(path(name), Kind::Symlink { target: target.as_bytes().into() }, 0o777)
}

fn hardlink(name: &str, target: &str) -> Entry {
    Entry::new(path(name), Kind::Hardlink { target: path(target) }, 0o644)
}

/// The content of a directory as a layer, as if it were the upper directory of an overlay over `lower`.
fn layer_of(upper: &Path, lower: &Tree, writing: WriterOptions) -> WrittenLayer<Vec<u8>> {
    let mut writer = LayerWriter::new(Vec::new(), writing);
    write_upper(upper, lower, &DiffOptions::for_root(), &mut writer).unwrap();
    writer.finish().unwrap()
}

fn unpack_plain(tar: &[u8], dest: &Path) -> Result<Unpacked, UnpackError> {
    unpack(tar, Format::Plain, Expected::default(), dest, UnpackOptions::for_root())
}

/// Whether this process may do what only the machine's root may; if not, says that the test is skipped.
fn is_root(test: &str) -> bool {
    let root = support::is_root();
    if !root {
        eprintln!("skipped {test}: needs root");
    }
    root
}
