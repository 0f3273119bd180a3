//! Where things lie in the directory, and the marker that says whose directory it is.
//!
//! The drawing is on top of `embedded.rs`. This file alone makes paths of finished objects and creates a store.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::database;
use crate::{Error, ObjectKey, Result};

const MARKER: &str = "wharf-store.json";
const NEW_MARKER: &str = "wharf-store.json.new";
const OBJECTS: &str = "objects";
const PARTIAL: &str = "partial";
pub(super) const DATABASE: &str = "records.sqlite";
/// The last of the directories that objects are spread over.
pub(super) const LAST_SHARD: u8 = u8::MAX;
const FORMAT: &str = "wharf-store";
const VERSION: u32 = 1;

/// The content of `wharf-store.json`.
#[derive(Serialize, Deserialize)]
struct Marker {
    format: String,
    version: u32,
}

/// A directory that is a store. Cloning is cheap.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: Arc<Path>,
}

impl Layout {
    /// Looks at the marker; creates the store in a missing or empty directory.
    pub(super) fn open(path: &Path) -> Result<Self> {
        create_directory(path)?;
        let root = path.canonicalize().map_err(|error| Error::io(format!("open {}", path.display()), error))?;
        let layout = Self { root: root.into() };
        if !layout.is_marked()? {
            layout.create()?;
        }
        Ok(layout)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn database(&self) -> PathBuf {
        self.root.join(DATABASE)
    }

    pub(super) fn partial(&self) -> PathBuf {
        self.root.join(PARTIAL)
    }

    /// The directory of finished objects whose keys begin with these eight bits.
    pub(super) fn shard(&self, shard: u8) -> PathBuf {
        self.root.join(OBJECTS).join(format!("{shard:02x}"))
    }

    pub(super) fn object(&self, key: ObjectKey) -> PathBuf {
        self.shard(shard_of(key)).join(key.to_string())
    }

    fn is_marked(&self) -> Result<bool> {
        let path = self.root.join(MARKER);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::io(format!("read {}", path.display()), error)),
        };
        let marker: Marker = serde_json::from_slice(&text)
            .map_err(|error| self.unusable(format!("{MARKER} is damaged ({error}); restore it from a backup")))?;
        if marker.format != FORMAT {
            return Err(self.unusable(format!("{MARKER} says that it holds {:?}", marker.format)));
        }
        if marker.version > VERSION {
            return Err(self.unusable(format!(
                "it was written by a newer version of Wharf (format {}, and this one knows up to {VERSION}); \
                 use that version or a later one",
                marker.version
            )));
        }
        Ok(true)
    }

    /// Creates what a store has, the marker last. Whoever comes second waits and finds it done.
    fn create(&self) -> Result<()> {
        let lock = File::open(self.root()).map_err(|error| self.cannot_create(error))?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|error| self.cannot_create(error.into()))?;
        if self.is_marked()? {
            return Ok(());
        }
        self.refuse_foreign()?;
        create_directory(&self.root.join(OBJECTS))?;
        for shard in 0..=LAST_SHARD {
            create_directory(&self.shard(shard))?;
        }
        create_directory(&self.partial())?;
        database::create(self)?;
        self.sync_tree().and_then(|()| self.write_marker()).map_err(|error| self.cannot_create(error))
    }

    /// What lies here is nothing, or what an interrupted [`Layout::create`] left behind.
    fn refuse_foreign(&self) -> Result<()> {
        let entries = fs::read_dir(self.root()).map_err(|error| self.cannot_create(error))?;
        for entry in entries {
            let name = entry.map_err(|error| self.cannot_create(error))?.file_name();
            let ours = name.to_str().is_some_and(|name| {
                // A file system's root has `lost+found`, and is a good place for a store.
                matches!(name, OBJECTS | PARTIAL | NEW_MARKER | "lost+found") || name.starts_with(DATABASE)
            });
            if !ours {
                return Err(self.unusable(format!(
                    "it holds {} and no {MARKER}, so it is not a store; choose an empty directory",
                    name.display()
                )));
            }
        }
        Ok(())
    }

    fn sync_tree(&self) -> io::Result<()> {
        File::open(self.root.join(OBJECTS))?.sync_all()?;
        File::open(self.root())?.sync_all()?;
        // The store's own name. Its parent may be somebody else's: then making it durable is their business.
        if let Some(Ok(parent)) = self.root.parent().map(File::open) {
            parent.sync_all()?;
        }
        Ok(())
    }

    fn write_marker(&self) -> io::Result<()> {
        let marker = Marker { format: FORMAT.to_owned(), version: VERSION };
        let path = self.root.join(NEW_MARKER);
        fs::write(&path, serde_json::to_vec(&marker)?)?;
        File::open(&path)?.sync_all()?;
        fs::rename(&path, self.root.join(MARKER))?;
        File::open(self.root())?.sync_all()
    }

    fn cannot_create(&self, error: io::Error) -> Error {
        Error::io(format!("create a store in {}", self.root.display()), error)
    }

    pub(super) fn unusable(&self, reason: String) -> Error {
        Error::Unusable { path: self.root.display().to_string(), reason }
    }
}

/// The first eight bits of a key.
pub(super) fn shard_of(key: ObjectKey) -> u8 {
    key.bits()[0]
}

fn create_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| Error::io(format!("create {}", path.display()), error))
}
