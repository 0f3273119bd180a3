//! Files that policies import and read: from the context, or, with `cwd://`, from where the user is; never from elsewhere.

use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

/// What a policy reads is not longer than this.
const MAX_FILE: u64 = 4 << 20;
/// What begins the names of files where the user is.
const HERE: &str = "cwd://";

/// Where files of policies are.
#[derive(Clone, Debug)]
pub struct PolicyFiles {
    /// The context; none for a build without one.
    pub context: Option<PathBuf>,
    /// Where the user is.
    pub here: PathBuf,
}

/// Why there is no such file.
#[derive(Debug, thiserror::Error)]
pub enum PolicyReadError {
    /// It is not there.
    #[error("there is no file {0}")]
    Missing(String),
    /// It is somewhere a policy has no business.
    #[error("{0} is outside of the context")]
    Outside(String),
    /// It is too long.
    #[error("{0} is longer than 4 MiB")]
    TooLong(String),
    /// It cannot be read.
    #[error("{0} cannot be read: {1}")]
    Io(String, std::io::Error),
}

impl PolicyFiles {
    /// Reads a file by the name it has in a policy or on the command line.
    pub fn read(&self, name: &str) -> Result<String, PolicyReadError> {
        let missing = || PolicyReadError::Missing(name.to_owned());
        let (root, name) = match name.strip_prefix(HERE) {
            Some(rest) => (self.here.as_path(), rest),
            None => (self.context.as_deref().ok_or_else(missing)?, name),
        };
        let io = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => missing(),
            _ => PolicyReadError::Io(name.to_owned(), error),
        };
        let root = root.canonicalize().map_err(io)?;
        let named = Path::new(name);
        let climbs = named.components().any(|part| part == Component::ParentDir);
        let path = root.join(named).canonicalize().map_err(io);
        match path {
            Ok(path) if path.starts_with(&root) => read(&path, name),
            Err(error) if !climbs => Err(error),
            Ok(_) | Err(_) => Err(PolicyReadError::Outside(name.to_owned())),
        }
    }
}

/// Reads a file that is no longer than a policy's may be.
pub(super) fn read(path: &Path, name: &str) -> Result<String, PolicyReadError> {
    let io = |error| PolicyReadError::Io(name.to_owned(), error);
    let file = std::fs::File::open(path).map_err(io)?;
    let mut text = String::new();
    let length = file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(io)?;
    if length as u64 > MAX_FILE { Err(PolicyReadError::TooLong(name.to_owned())) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_from_two_places_and_no_other() {
        let room = tempfile::tempdir().unwrap();
        let (context, here) = (room.path().join("context"), room.path().join("here"));
        for (directory, text) in [(&context, "of the context"), (&here, "of here"), (&room.path().to_owned(), "secret")]
        {
            std::fs::create_dir_all(directory).unwrap();
            std::fs::write(directory.join("f"), text).unwrap();
        }
        std::os::unix::fs::symlink("../f", context.join("link")).unwrap();
        let files = PolicyFiles { context: Some(context.clone()), here };
        let read = |name: &str| files.read(name).map_err(|error| error.to_string());
        assert_eq!(read("f").as_deref(), Ok("of the context"));
        assert_eq!(read(&context.join("f").display().to_string()).as_deref(), Ok("of the context"));
        assert_eq!(read("cwd://f").as_deref(), Ok("of here"));
        assert_eq!(read("no").unwrap_err(), "there is no file no");
        for outside in ["../f", "link", "cwd://../f", "../none", "/proc/self/status"] {
            assert!(read(outside).unwrap_err().contains("outside of the context"), "{outside}");
        }
        let nowhere = PolicyFiles { context: None, here: room.path().to_owned() };
        assert!(nowhere.read("f").is_err() && nowhere.read("cwd://f").is_ok());
    }
}
