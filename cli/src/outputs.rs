//! `--output`: what becomes of a build beside its place in the store.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use wharf_builder::BuildResult;
use wharf_client::layout::LayoutDirectory;
use wharf_client::transfer::{CopyOptions, Error as TransferError, copy, ignore_events};
use wharf_spec::Reference;

use crate::failure::Failure;
use crate::places::create_archive;
use crate::publish::Made;
use crate::stores::OpenStore;

/// One output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// `type=oci` and `type=docker`: an archive that is both.
    Archive(PathBuf, Option<Reference>),
    /// `type=oci,tar=false`: a layout directory.
    Layout(PathBuf),
    /// `type=local`: the files as a directory.
    Local(PathBuf),
    /// `type=tar`: the files as a tar.
    Tar(PathBuf),
    /// `type=cacheonly`
    Nothing,
}

impl Output {
    /// Whether it takes standard output, so that nothing else may go there.
    pub fn takes_stdout(&self) -> bool {
        match self {
            Self::Tar(path) => path.as_os_str() == "-",
            Self::Archive(..) | Self::Layout(_) | Self::Local(_) | Self::Nothing => false,
        }
    }
}

impl FromStr for Output {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        // As Docker has it: a lone path is a directory, and `-` a tar on standard output.
        match text {
            "-" => return Ok(Self::Tar(text.into())),
            _ if !text.contains('=') => return Ok(Self::Local(text.into())),
            _ => {}
        }
        let fields: Vec<(&str, &str)> =
            text.split(',').map(|field| field.split_once('=').unwrap_or((field, ""))).collect();
        let field = |name: &str| fields.iter().find(|(given, _)| *given == name).map(|(_, value)| *value);
        if let Some((unknown, _)) = fields.iter().find(|(name, _)| !["type", "dest", "tar", "name"].contains(name)) {
            return Err(Failure::usage(format!("--output {text}: `{unknown}` is not known"))
                .hint("an output is written type=oci|docker|local|tar,dest=PATH"));
        }
        let dest = || {
            field("dest")
                .map(PathBuf::from)
                .ok_or_else(|| Failure::usage(format!("--output {text}: dest=PATH is missing")))
        };
        let name = field("name").map(str::parse).transpose();
        let name =
            name.map_err(|error: wharf_spec::ReferenceError| Failure::usage(format!("--output {text}: {error}")))?;
        match field("type").unwrap_or("local") {
            "oci" if field("tar") == Some("false") => Ok(Self::Layout(dest()?)),
            "oci" | "docker" => Ok(Self::Archive(dest()?, name)),
            "local" => Ok(Self::Local(dest()?)),
            "tar" => Ok(Self::Tar(dest()?)),
            "cacheonly" => Ok(Self::Nothing),
            "image" | "registry" => {
                Err(Failure::usage(format!("--output {text}: use -t NAME, and --push for registries")))
            }
            other => Err(Failure::usage(format!("--output {text}: there is no type {other}"))
                .hint("types are oci, docker, local, tar and cacheonly")),
        }
    }
}

/// Writes an output.
pub async fn write(store: &OpenStore, result: &BuildResult, output: &Output) -> Result<(), Failure> {
    let unwritable = |path: &Path| {
        let what = format!("could not write {}", path.display());
        move |error: TransferError| Failure::new(what).because(error)
    };
    let source = Made::new(store, result.image.clone());
    let options = CopyOptions::default();
    match output {
        Output::Archive(path, name) => {
            let archive = create_archive(path).await?;
            let tag = name.as_ref().and_then(Reference::tag_or_latest);
            let sink = archive.image(name.clone());
            copy((&source, &source.target()), (&sink, tag.as_ref()), &options, &ignore_events())
                .await
                .map_err(unwritable(path))?;
            if name.is_none() {
                archive.list(&result.image.descriptor());
            }
            archive.finish().await.map_err(unwritable(path))
        }
        Output::Layout(path) => {
            let layout = LayoutDirectory::create(path).map_err(unwritable(path))?;
            copy((&source, &source.target()), (&layout, None), &options, &ignore_events())
                .await
                .map_err(unwritable(path))?;
            layout.list(&result.image.descriptor(), None).map_err(unwritable(path))
        }
        Output::Local(path) => {
            let skipped = result.write_directory(path).await.map_err(|error| files_failed(path, error))?;
            for (file, why) in skipped {
                tracing::warn!("{file} was not written to {}: {why:?}", path.display());
            }
            Ok(())
        }
        Output::Tar(path) if path.as_os_str() == "-" => {
            result.write_tar(std::io::stdout()).await.map(|_| ()).map_err(|error| files_failed(path, error))
        }
        Output::Tar(path) => {
            let unwritten =
                |error: std::io::Error| Failure::new(format!("could not write {}", path.display())).because(error);
            let file = std::fs::File::create(path).map_err(unwritten)?;
            result.write_tar(file).await.map_err(|error| files_failed(path, error))?.sync_all().map_err(unwritten)
        }
        Output::Nothing => Ok(()),
    }
}

fn files_failed(path: &Path, error: wharf_builder::BuildError) -> Failure {
    Failure::new(format!("could not write {}", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_read_as_docker_writes_them() {
        for (text, output) in [
            ("out", Output::Local("out".into())),
            ("-", Output::Tar("-".into())),
            ("type=local,dest=out", Output::Local("out".into())),
            ("type=tar,dest=a.tar", Output::Tar("a.tar".into())),
            ("type=oci,dest=a.tar", Output::Archive("a.tar".into(), None)),
            ("type=oci,tar=false,dest=dir", Output::Layout("dir".into())),
            ("type=docker,dest=a.tar,name=app:1", Output::Archive("a.tar".into(), Some("app:1".parse().unwrap()))),
            ("type=cacheonly", Output::Nothing),
        ] {
            assert_eq!(text.parse::<Output>().unwrap(), output, "{text}");
        }
        for bad in ["type=oci", "type=what,dest=x", "type=local,dest=x,shape=round"] {
            assert!(bad.parse::<Output>().is_err(), "{bad}");
        }
    }
}
