//! Following symbolic links inside a tree, as the kernel does after `chroot`.

use super::{Files, FilesError, Found};
use crate::layer::{Kind, LayerPath};

/// How many links one path may lead through.
const MOST_LINKS: usize = 255;

/// What `path` leads to, the last component followed, too. `None` when it leads to nothing.
pub(crate) fn resolve(files: &dyn Files, path: &LayerPath) -> Result<Option<Found>, FilesError> {
    let mut ahead: Vec<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
    ahead.reverse();
    let Some(mut here) = files.get(&LayerPath::root())? else { return Ok(None) };
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        if name == b".." {
            let parent = here.entry.path.parent().unwrap_or_default();
            match files.get(&parent)? {
                Some(found) => here = found,
                None => return Ok(None),
            }
            continue;
        }
        if !here.is_dir() {
            return Ok(None);
        }
        let Ok(next) = here.entry.path.join(&name) else { return Ok(None) };
        let Some(found) = files.get(&next)? else { return Ok(None) };
        let Kind::Symlink { target } = &found.entry.kind else {
            here = found;
            continue;
        };
        links += 1;
        if links > MOST_LINKS {
            return Err(FilesError::TooManyLinks { path: path.clone() });
        }
        if target.starts_with(b"/") {
            match files.get(&LayerPath::root())? {
                Some(root) => here = root,
                None => return Ok(None),
            }
        }
        let names = target.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
        ahead.extend(names.rev().map(<[u8]>::to_vec));
    }
    Ok(Some(here))
}
