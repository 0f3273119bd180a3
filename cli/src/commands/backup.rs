//! `wharf backup` and `wharf restore`: the records of a store - names, tags, histories, manifests - in one file.

use std::fs::File;
use std::io::{BufReader, BufWriter, Seek as _};
use std::path::Path;

use wharf_blobstore::backup::{BackupError, restore, verify};
use wharf_blobstore::embedded;

use crate::args::{Backup, Restore};
use crate::failure::Failure;
use crate::session::Session;
use crate::stores::OpenStore;

/// Writes the file. It is there when it is whole, and not before.
pub async fn run(session: &Session, command: Backup) -> Result<(), Failure> {
    let store = OpenStore::open(session)?;
    let directory = store.directory.clone();
    let file = command.file.clone();
    let written = tokio::task::spawn_blocking(move || write(&directory, &file)).await;
    let written = written.map_err(|error| Failure::new("the backup stopped").because(error))?;
    let count =
        written.map_err(|error| Failure::new(format!("could not write {}", command.file.display())).because(error))?;
    if !session.global.quiet {
        eprintln!("{count} records; the bytes of images are not among them: copy {}", objects(&store));
    }
    Ok(())
}

fn write(directory: &Path, file: &Path) -> Result<u64, BackupError> {
    let unfinished = file.with_added_extension("unfinished");
    let (count, out) = embedded::back_up(directory, BufWriter::new(File::create(&unfinished)?))?;
    let out = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    out.sync_all()?;
    std::fs::rename(&unfinished, file)?;
    Ok(count)
}

/// Reads the file into an empty store, after looking whether it is whole.
pub async fn restore_records(session: &Session, command: Restore) -> Result<(), Failure> {
    let failed = |error: BackupError| {
        let failure = Failure::new(format!("could not restore {}", command.file.display()));
        match error {
            BackupError::NotEmpty => {
                failure.because(error).hint("choose a directory that has no store yet with --store DIR")
            }
            other => failure.because(other),
        }
    };
    let mut file = File::open(&command.file).map_err(|error| failed(error.into()))?;
    verify(BufReader::new(&file)).map_err(failed)?;
    file.rewind().map_err(|error| failed(error.into()))?;
    let store = OpenStore::open(session)?;
    let records = &store.repositories.store().records;
    let count = restore(&**records, BufReader::new(file)).await.map_err(failed)?;
    if !session.global.quiet {
        eprintln!("{count} records; the bytes of images belong into {}", objects(&store));
    }
    Ok(())
}

fn objects(store: &OpenStore) -> String {
    store.directory.join("objects").display().to_string()
}
