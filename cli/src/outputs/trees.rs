//! `type=local` and `type=tar`: the files of images, and beside them what is attested about these.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use wharf_builder::attest::Statement;
use wharf_builder::{TarPart, write_tar};

use super::{truth, unknown};
use crate::built::{Built, Part};
use crate::failure::Failure;

/// Where files go, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileTree {
    /// The directory, or the tar; `-` for standard output.
    pub path: PathBuf,
    /// Whether each platform gets a directory of its own; when `None`, if there are several.
    split: Option<bool>,
    /// What becomes of other files in the directory.
    others: Others,
    /// What the names of attestations begin with.
    prefix: String,
}

/// What becomes of what is in a directory that is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    Kept,
    Deleted,
}

/// One platform's files.
struct Branch<'a> {
    part: &'a Part,
    /// Their directory below the whole, or nothing.
    directory: Option<String>,
    /// Attestations by name.
    beside: Vec<(String, Vec<u8>)>,
}

impl FileTree {
    /// At `path`, with nothing else said.
    pub fn at(path: &str) -> Self {
        Self { path: path.into(), split: None, others: Others::Kept, prefix: String::new() }
    }

    /// Reads the fields of an output.
    pub fn read(text: &str, fields: &[(String, String)]) -> Result<Self, Failure> {
        let mut tree = Self::at("");
        for (name, value) in fields {
            match (name.as_str(), value.as_str()) {
                ("type", _) => {}
                ("dest", path) => tree.path = path.into(),
                ("platform-split", value) => tree.split = Some(truth(text, (name, value))?),
                ("attestation-prefix", prefix) => prefix.clone_into(&mut tree.prefix),
                ("mode", "copy") => tree.others = Others::Kept,
                ("mode", "delete") => tree.others = Others::Deleted,
                ("mode", other) => {
                    return Err(Failure::usage(format!("--output {text}: mode is copy or delete, not `{other}`")));
                }
                (other, _) => return Err(unknown(text, other)),
            }
        }
        if tree.path.as_os_str().is_empty() {
            return Err(Failure::usage(format!("--output {text}: dest=PATH is missing")));
        }
        Ok(tree)
    }

    /// Writes the files into the directory.
    pub async fn write_directory(&self, built: &Built) -> Result<(), Failure> {
        if self.others == Others::Deleted && self.path.canonicalize().is_ok_and(|path| path.parent().is_none()) {
            return Err(Failure::usage("--output mode=delete: all else in / would be deleted"));
        }
        let branches = self.branches(built).await?;
        let expected = self.expected(&branches).await?;
        for branch in &branches {
            let place = branch.directory.as_ref().map_or(self.path.clone(), |directory| self.path.join(directory));
            let result = &branch.part.result;
            let skipped = result.write_directory(&place).await.map_err(|error| self.failed().because(error))?;
            for (file, why) in skipped {
                tracing::warn!("{file} was not written to {}: {why:?}", place.display());
            }
            for (name, bytes) in &branch.beside {
                beside(&place.join(name), bytes, result.source_date_epoch).map_err(|error| {
                    Failure::new(format!("could not write {}", place.join(name).display())).because(error)
                })?;
            }
        }
        match self.others {
            Others::Kept => Ok(()),
            Others::Deleted => delete_others(&self.path, Path::new(""), &expected).map_err(|error| {
                Failure::new(format!("could not delete what else is in {}", self.path.display())).because(error)
            }),
        }
    }

    /// Writes the files as one tar.
    pub async fn write_tar(&self, built: &Built) -> Result<(), Failure> {
        let branches = self.branches(built).await?;
        self.expected(&branches).await?;
        let part =
            |branch: Branch<'_>| -> (Option<String>, Vec<(String, Vec<u8>)>) { (branch.directory, branch.beside) };
        let results: Vec<_> = branches.iter().map(|branch| &branch.part.result).collect();
        let places = branches.into_iter().map(part);
        let parts = results.into_iter().zip(places);
        let parts = parts.map(|(result, (directory, beside))| TarPart { result, directory, beside }).collect();
        if self.path.as_os_str() == "-" {
            return write_tar(parts, std::io::stdout()).await.map(drop).map_err(|error| self.failed().because(error));
        }
        let file = File::create(&self.path).map_err(|error| self.failed().because(error))?;
        let file = write_tar(parts, file).await.map_err(|error| self.failed().because(error))?;
        file.sync_all().map_err(|error| self.failed().because(error))
    }

    fn failed(&self) -> Failure {
        Failure::new(format!("could not write {}", self.path.display()))
    }

    async fn branches<'a>(&self, built: &'a Built) -> Result<Vec<Branch<'a>>, Failure> {
        let several = built.parts.len() > 1;
        let split = self.split.unwrap_or(several);
        let mut branches = Vec::new();
        for part in &built.parts {
            let platform = part.request.platform.to_string().replace('/', "_");
            let beside = self.attestations(part, (several && !split).then_some(platform.as_str())).await?;
            branches.push(Branch { part, directory: split.then_some(platform), beside });
        }
        Ok(branches)
    }

    /// What is attested, now about each file.
    async fn attestations(&self, part: &Part, platform: Option<&str>) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let beside: Vec<&Statement> = part.statements.iter().filter(|statement| !statement.inline_only).collect();
        if beside.is_empty() {
            return Ok(Vec::new());
        }
        let files = part.result.file_digests().await.map_err(|error| self.failed().because(error))?;
        let subject = |(path, digest): &(wharf_builder::layer::LayerPath, wharf_spec::Digest)| json!({ "name": String::from_utf8_lossy(path.as_bytes()), "digest": { "sha256": digest.hex() } });
        let subjects: Vec<Value> = files.iter().map(subject).collect();
        let statement = |statement: &Statement| {
            let mut told = statement.told.clone();
            if !statement.own_subjects {
                told["subject"] = json!(subjects);
            }
            let name = match (platform, statement.name.rsplit_once('.')) {
                (Some(platform), Some((stem, ending))) => format!("{stem}.{platform}.{ending}"),
                (Some(platform), None) => format!("{}.{platform}", statement.name),
                (None, _) => statement.name.clone(),
            };
            (format!("{}{name}", self.prefix), format!("{told:#}\n").into_bytes())
        };
        Ok(beside.into_iter().map(statement).collect())
    }

    /// All that will be there. Where platforms share a directory, no file of one may take the place of another's.
    async fn expected(&self, branches: &[Branch<'_>]) -> Result<BTreeSet<PathBuf>, Failure> {
        let mut all = BTreeSet::new();
        let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
        for branch in branches {
            let root = PathBuf::from(branch.directory.clone().unwrap_or_default());
            all.insert(root.clone());
            let platform = branch.part.request.platform.to_string();
            let paths = branch.part.result.paths().await.map_err(|error| self.failed().because(error))?;
            let own = paths.iter().map(|one| (root.join(one.path.as_path()), one.is_directory));
            let own = own.chain(branch.beside.iter().map(|(name, _)| (root.join(name), false)));
            for (path, is_directory) in own {
                let before = if is_directory { None } else { files.insert(path.clone(), platform.clone()) };
                if let Some(before) = before {
                    let what = format!("{before} and {platform} both have a file {}", path.display());
                    return Err(Failure::new(format!("could not write {}: {what}", self.path.display()))
                        .hint("platform-split=true gives each a directory of its own"));
                }
                all.insert(path);
            }
        }
        Ok(all)
    }
}

/// Only their owner may read attestations: they may say more than the files do.
fn beside(path: &Path, bytes: &[u8], epoch: Option<i64>) -> std::io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    match epoch.and_then(|seconds| u64::try_from(seconds).ok()) {
        Some(seconds) => file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
        None => Ok(()),
    }
}

/// Removes what is below `root` and not expected. Links are removed, never followed.
fn delete_others(root: &Path, below: &Path, expected: &BTreeSet<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(OsStr::from_bytes(entry.file_name().as_bytes()));
        let is_directory = entry.file_type()?.is_dir();
        match (expected.contains(&path), is_directory) {
            (true, true) => delete_others(root, &path, expected)?,
            (true, false) => {}
            (false, true) => fs::remove_dir_all(entry.path())?,
            (false, false) => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}
