//! Removing from a layout what nobody wants to keep.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use wharf_spec::{Descriptor, Digest, Tag};

use super::directory::{LayoutDirectory, MAX_DEPTH};
use super::index::NamedImage;
use crate::transfer::{Error, Result, Target};

impl LayoutDirectory {
    /// Keeps the listed images whose tag `keep` wants, and what they need; everything else goes. Nobody else may write to
    /// the layout meanwhile: what is not listed yet would go, too.
    pub fn sweep(&self, keep: &dyn Fn(Option<&Tag>) -> bool) -> Result<()> {
        let mut needed = BTreeSet::new();
        // The index first: what it lists is always there.
        self.change_index(|index| {
            index.manifests.retain(|entry| keep(NamedImage::of(entry).tag().as_ref()));
            for entry in &index.manifests {
                self.need(entry, 0, &mut needed);
            }
        })?;
        let blobs = self.path().join("blobs");
        for algorithm in read_dir(&blobs)? {
            let name = algorithm.file_name().to_string_lossy().into_owned();
            for file in read_dir(&algorithm.path())? {
                let digest = format!("{name}:{}", file.file_name().to_string_lossy()).parse::<Digest>();
                // What has another name is not ours.
                if digest.is_ok_and(|digest| !needed.contains(&digest)) {
                    let path = file.path();
                    fs::remove_file(&path).map_err(|error| Error::io(format!("remove {}", path.display()), error))?;
                }
            }
        }
        Ok(())
    }

    fn need(&self, entry: &Descriptor, depth: usize, needed: &mut BTreeSet<Digest>) {
        let fresh = needed.insert(entry.digest);
        let Ok(manifest) = self.load(entry, &Target::Digest(entry.digest)) else { return };
        if !fresh || depth >= MAX_DEPTH {
            return;
        }
        needed.extend(manifest.blobs().iter().map(|blob| blob.digest));
        for child in manifest.children() {
            self.need(child, depth + 1, needed);
        }
    }
}

fn read_dir(path: &std::path::Path) -> Result<Vec<fs::DirEntry>> {
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    entries.map_err(|error| Error::io(format!("list {}", path.display()), error))
}
