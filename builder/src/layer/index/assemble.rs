//! Turning the entries of a tar into the entries of a layer: where each really goes, and what it replaces.
//!
//! Shared by indexing and unpacking, so that the index says exactly what is on disk. A later entry for a path replaces
//! the earlier one (directories merge); a symlink of the same layer is followed inside the root when it stands in for a
//! parent directory; missing parents are implied.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use wharf_spec::Digest;

use super::{IndexEntry, IndexError, LayerIndex, Packer};
use crate::layer::ahead::read_ahead;
use crate::layer::entry::{Entry, Kind};
use crate::layer::fingerprint::Fingerprint;
use crate::layer::header::{OPAQUE_NAME, WHITEOUT_PREFIX};
use crate::layer::path::LayerPath;
use crate::layer::sniff::{Decoder, Format};
use crate::layer::tar::{TarEntry, TarError, TarKind, TarLimits, TarReader};
use crate::layer::xattr;

/// How many symlinks the way to one entry may lead through.
const MOST_LINKS: u32 = 255;
/// AUFS kept its books under names that begin so; no one else has a use for them.
const AUFS_PREFIX: &[u8] = b".wh..wh.";

/// Reads a blob to its end; its diff id and its index.
pub(super) fn index_tar(
    blob: impl Read + Send,
    format: Format,
    limits: TarLimits,
) -> Result<(Digest, LayerIndex), TarError> {
    let decoder = Decoder::new(blob, format).map_err(TarError::Read)?;
    read_ahead(decoder, |input| {
        let mut tar = TarReader::hashing(input, limits);
        let mut assembler = Assembler::default();
        assembler.read_all(&mut tar)?;
        let diff_id = tar.finish()?.0.unwrap_or_else(|| Digest::sha256(b""));
        Ok((diff_id, assembler.finish()?.index))
    })
    .map_err(TarError::Read)?
    .0
}

/// An entry with its place.
pub(in crate::layer) struct Placed {
    /// What to make. Its path goes through no symlink of the layer; a hard link's target exists.
    pub(in crate::layer) entry: Entry,
    /// Parents to make first, the uppermost first.
    pub(in crate::layer) parents: Vec<LayerPath>,
}

/// A complete layer.
pub(in crate::layer) struct Assembled {
    pub(in crate::layer) index: LayerIndex,
    /// Directories nobody described, in walk order.
    pub(in crate::layer) implied: Vec<LayerPath>,
}

#[derive(Default)]
struct Slot {
    real: Option<Real>,
    whiteout: bool,
    opaque: bool,
}

enum Real {
    /// A missing parent.
    Implied,
    /// An entry; those with the same number are names of one file.
    Given(Box<IndexEntry>, u32),
}

impl Real {
    fn kind(&self) -> &Kind {
        match self {
            Self::Implied => &Kind::Dir,
            Self::Given(one, _) => &one.entry.kind,
        }
    }
}

/// The layer so far.
#[derive(Default)]
pub(in crate::layer) struct Assembler {
    slots: BTreeMap<LayerPath, Slot>,
    groups: u32,
    /// The last parent as stored, and where it really is.
    last_parent: Option<(Vec<u8>, LayerPath)>,
}

impl Assembler {
    /// Takes in a whole archive, hashing its files and making nothing.
    pub(in crate::layer) fn read_all(&mut self, tar: &mut TarReader<impl Read>) -> Result<(), TarError> {
        while let Some(raw) = tar.next_entry()? {
            let Some(placed) = self.place(&raw)? else { continue };
            let file = matches!(placed.entry.kind, Kind::File { .. });
            let content = if file { Some(tar.hash_content()?) } else { None };
            self.commit(placed.entry, content);
        }
        Ok(())
    }

    /// Finds the place of an entry. `None` when there is nothing to make: markers are remembered for the end.
    pub(in crate::layer) fn place(&mut self, raw: &TarEntry) -> Result<Option<Placed>, TarError> {
        let path = LayerPath::parse(&raw.name).map_err(|source| TarError::Name { name: raw.display_name(), source })?;
        if path.components().any(|name| name.starts_with(AUFS_PREFIX) && name != OPAQUE_NAME) {
            return Ok(None);
        }
        let reserved = || TarError::ReservedName { name: raw.display_name() };
        if path.parent_bytes().split(|byte| *byte == b'/').any(|name| name.starts_with(WHITEOUT_PREFIX)) {
            return Err(reserved());
        }
        if path.is_root() {
            let entry = entry_of(raw, path, Kind::Dir);
            return if raw.kind == TarKind::Dir {
                Ok(Some(Placed { entry, parents: Vec::new() }))
            } else {
                Err(TarError::ParentNotDirectory { path: LayerPath::root() })
            };
        }
        let parent = self.real_parent(&path)?;
        match path.file_name() {
            OPAQUE_NAME => {
                self.imply(&parent);
                self.slots.entry(parent).or_default().opaque = true;
                Ok(None)
            }
            name => match name.strip_prefix(WHITEOUT_PREFIX) {
                Some(b"" | b"." | b"..") => Err(reserved()),
                Some(hidden) => self.whiteout(&parent, hidden, raw).map(|()| None),
                None => self.place_real(raw, &parent, name),
            },
        }
    }

    /// The entry is made; `content` is the fingerprint of a file's bytes. Returns the number of the thing, which depends on
    /// the entries so far only; `None` for one more name of a thing.
    pub(in crate::layer) fn commit(&mut self, entry: Entry, content: Option<Fingerprint>) -> Option<u32> {
        let path = entry.path.clone();
        let mut number = None;
        let real = match &entry.kind {
            Kind::Hardlink { target } => match self.slots.get(target).and_then(|slot| slot.real.as_ref()) {
                Some(Real::Given(one, group)) => {
                    let entry = Entry { path: path.clone(), ..one.entry.clone() };
                    Real::Given(Box::new(IndexEntry { entry, content: one.content }), *group)
                }
                Some(Real::Implied) | None => return None,
            },
            Kind::File { .. }
            | Kind::Dir
            | Kind::Symlink { .. }
            | Kind::Char { .. }
            | Kind::Block { .. }
            | Kind::Fifo
            | Kind::Whiteout
            | Kind::Opaque => {
                self.groups += 1;
                number = Some(self.groups);
                Real::Given(Box::new(IndexEntry { entry, content }), self.groups)
            }
        };
        if matches!(real.kind(), Kind::Symlink { .. }) {
            self.last_parent = None;
        }
        self.slots.entry(path).or_default().real = Some(real);
        number
    }

    /// The names under which each thing is there now, in walk order, by the number that [`Assembler::commit`] gave it.
    pub(in crate::layer) fn names(&self) -> HashMap<u32, Vec<LayerPath>> {
        let mut names: HashMap<u32, Vec<LayerPath>> = HashMap::new();
        for (path, slot) in &self.slots {
            if let Some(Real::Given(_, number)) = &slot.real {
                names.entry(*number).or_default().push(path.clone());
            }
        }
        names
    }

    /// The layer.
    pub(in crate::layer) fn finish(self) -> Result<Assembled, TarError> {
        let mut packer = Packer::default();
        let mut implied = Vec::new();
        let mut first: HashMap<u32, LayerPath> = HashMap::new();
        for (path, slot) in self.slots {
            if slot.whiteout {
                packer.push(marker(Entry::whiteout(path.clone())));
            }
            match slot.real {
                Some(Real::Given(mut one, group)) => {
                    match first.get(&group) {
                        Some(target) => one.entry.kind = Kind::Hardlink { target: target.clone() },
                        None => drop(first.insert(group, path.clone())),
                    }
                    packer.push(*one);
                }
                Some(Real::Implied) => implied.push(path.clone()),
                None => {}
            }
            if slot.opaque {
                packer.push(marker(Entry::opaque(path)));
            }
        }
        let index = packer.finish().map_err(|error| match error {
            // All of these were refused when the entry came; said again rather than trusted.
            IndexError::DanglingHardlink { path, target } => TarError::DanglingHardlink { path, target },
            IndexError::Duplicate { path } | IndexError::ParentNotDirectory { path } => {
                TarError::ParentNotDirectory { path }
            }
        })?;
        Ok(Assembled { index, implied })
    }

    fn whiteout(&mut self, parent: &LayerPath, hidden: &[u8], raw: &TarEntry) -> Result<(), TarError> {
        let path = join(parent, hidden, raw)?;
        self.imply(parent);
        self.slots.entry(path).or_default().whiteout = true;
        Ok(())
    }

    fn place_real(&mut self, raw: &TarEntry, parent: &LayerPath, name: &[u8]) -> Result<Option<Placed>, TarError> {
        let path = join(parent, name, raw)?;
        let kind = match raw.kind {
            TarKind::File => Kind::File { size: raw.size },
            TarKind::Dir => Kind::Dir,
            TarKind::Symlink => Kind::Symlink { target: raw.link.as_slice().into() },
            TarKind::Fifo => Kind::Fifo,
            // An overlay's own spelling of a whiteout; as a lower layer it would act as one in any case.
            TarKind::Char { major: 0, minor: 0 } => return self.whiteout(parent, name, raw).map(|()| None),
            TarKind::Char { major, minor } => Kind::Char { major, minor },
            TarKind::Block { major, minor } => Kind::Block { major, minor },
            TarKind::Hardlink => {
                let target = self.link_target(&path, raw)?;
                // `tar cf x a a` stores the second as a link to itself.
                if target == path {
                    return Ok(None);
                }
                Kind::Hardlink { target }
            }
        };
        let parents = self.imply(parent);
        self.clear(&path, &kind)?;
        Ok(Some(Placed { entry: entry_of(raw, path, kind), parents }))
    }

    fn link_target(&mut self, path: &LayerPath, raw: &TarEntry) -> Result<LayerPath, TarError> {
        let written = LayerPath::parse(&raw.link)
            .map_err(|source| TarError::Name { name: String::from_utf8_lossy(&raw.link).into_owned(), source })?;
        let target = match written.parent() {
            Some(_) => join(&self.real_parent(&written)?, written.file_name(), raw)?,
            None => written,
        };
        match self.slots.get(&target).and_then(|slot| slot.real.as_ref()).map(Real::kind) {
            Some(Kind::Dir) | None => Err(TarError::DanglingHardlink { path: path.clone(), target }),
            Some(_) => Ok(target),
        }
    }

    /// Makes room for something of `kind` at `path`: only directories merge.
    fn clear(&mut self, path: &LayerPath, kind: &Kind) -> Result<(), TarError> {
        let held = self.slots.get(path).and_then(|slot| slot.real.as_ref()).map(Real::kind);
        if !matches!((held, kind), (None, _) | (Some(Kind::Dir), Kind::Dir)) {
            self.last_parent = None;
        }
        if let Kind::Hardlink { target } = kind
            && target.starts_with(path)
        {
            return Err(TarError::DanglingHardlink { path: path.clone(), target: target.clone() });
        }
        if !matches!(kind, Kind::Dir) {
            // Also markers below: they speak of a directory that is no more.
            let below: Vec<LayerPath> = self
                .slots
                .range((std::ops::Bound::Excluded(path), std::ops::Bound::Unbounded))
                .map(|(below, _)| below)
                .take_while(|below| below.starts_with(path))
                .cloned()
                .collect();
            for path in &below {
                self.slots.remove(path);
            }
            if let Some(slot) = self.slots.get_mut(path) {
                slot.opaque = false;
            }
        }
        Ok(())
    }

    /// Remembers `parent` and what is above it, if new; returns what is, the uppermost first.
    fn imply(&mut self, parent: &LayerPath) -> Vec<LayerPath> {
        let mut missing = Vec::new();
        let mut here = parent.clone();
        while !here.is_root() && self.slots.get(&here).is_none_or(|slot| slot.real.is_none()) {
            let above = here.parent().unwrap_or_default();
            missing.push(std::mem::replace(&mut here, above));
        }
        missing.reverse();
        for path in &missing {
            self.slots.entry(path.clone()).or_default().real = Some(Real::Implied);
        }
        missing
    }

    /// Where the parent of `path` really is, symlinks of this layer followed inside the root.
    fn real_parent(&mut self, path: &LayerPath) -> Result<LayerPath, TarError> {
        if let Some((stored, real)) = &self.last_parent
            && stored == path.parent_bytes()
        {
            return Ok(real.clone());
        }
        let mut ahead: Vec<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        ahead.pop();
        ahead.reverse();
        let (mut here, mut links) = (LayerPath::root(), 0);
        while let Some(name) = ahead.pop() {
            if name == b".." {
                here = here.parent().unwrap_or_default();
                continue;
            }
            let next = here.join(&name).map_err(|source| TarError::Name { name: path.to_string(), source })?;
            match self.slots.get(&next).and_then(|slot| slot.real.as_ref()).map(Real::kind) {
                Some(Kind::Dir) | None => here = next,
                Some(Kind::Symlink { target }) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(TarError::TooManyLinks { path: path.clone() });
                    }
                    if target.starts_with(b"/") {
                        here = LayerPath::root();
                    }
                    let names = target.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
                    ahead.extend(names.rev().map(<[u8]>::to_vec));
                }
                Some(_) => return Err(TarError::ParentNotDirectory { path: path.clone() }),
            }
        }
        self.last_parent = Some((path.parent_bytes().to_vec(), here.clone()));
        Ok(here)
    }
}

fn marker(entry: Entry) -> IndexEntry {
    IndexEntry { entry, content: None }
}

fn join(parent: &LayerPath, name: &[u8], raw: &TarEntry) -> Result<LayerPath, TarError> {
    parent.join(name).map_err(|source| TarError::Name { name: raw.display_name(), source })
}

fn entry_of(raw: &TarEntry, path: LayerPath, kind: Kind) -> Entry {
    let xattrs = raw.xattrs.iter().filter(|(name, _)| xattr::travels(name));
    Entry {
        path,
        kind,
        mode: raw.mode,
        uid: raw.uid,
        gid: raw.gid,
        mtime: raw.mtime,
        xattrs: xattrs.map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}
