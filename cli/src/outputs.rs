//! `--output`: what becomes of a build beside its place in the store.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum as _;
use wharf_builder::settings::is_true;
use wharf_client::layout::LayoutDirectory;
use wharf_client::transfer::{CopyOptions, Error as TransferError, copy, ignore_events};
use wharf_spec::Reference;

use crate::args::CompressionName;
use crate::built::{Built, Part};
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
    /// `type=docker` without a place: the running engine.
    Engine,
    /// `type=image` and `type=registry`: names in the store, and at their registries.
    Image(Naming),
    /// `type=cacheonly`
    Nothing,
}

/// What `type=image` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// The names.
    pub names: Vec<Reference>,
    /// Whether they are pushed.
    pub push: bool,
    /// Of new layers.
    pub compression: Option<CompressionName>,
    /// Of new layers.
    pub level: Option<u32>,
    /// As `--annotation` takes them.
    pub annotations: Vec<String>,
}

impl Output {
    /// Whether it takes standard output, so that nothing else may go there.
    pub fn takes_stdout(&self) -> bool {
        match self {
            Self::Tar(path) => path.as_os_str() == "-",
            Self::Archive(..) | Self::Layout(_) | Self::Local(_) | Self::Engine | Self::Image(_) | Self::Nothing => {
                false
            }
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
        let fields = fields(text);
        let field = |name: &str| fields.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
        if let Some("image" | "registry") = field("type") {
            return Ok(Self::Image(names(text, &fields)?));
        }
        let known = ["type", "dest", "tar", "name", "platform-split", "oci-mediatypes", "rewrite-timestamp"];
        if let Some((unknown, _)) = fields.iter().find(|(name, _)| !known.contains(&name.as_str())) {
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
            "docker" if field("dest").is_none() => Ok(Self::Engine),
            "oci" if field("tar") == Some("false") => Ok(Self::Layout(dest()?)),
            "oci" | "docker" => Ok(Self::Archive(dest()?, name)),
            "local" => Ok(Self::Local(dest()?)),
            "tar" => Ok(Self::Tar(dest()?)),
            "cacheonly" => Ok(Self::Nothing),
            other => Err(Failure::usage(format!("--output {text}: there is no type {other}"))
                .hint("types are oci, docker, local, tar, image, registry and cacheonly")),
        }
    }
}

/// The fields of an output: CSV, so that one in quotes may hold commas.
fn fields(text: &str) -> Vec<(String, String)> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    let pairs = fields.iter().map(|field| field.split_once('=').unwrap_or((field, "")));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.to_owned())).collect()
}

/// What `type=image` and `type=registry` say.
fn names(text: &str, fields: &[(String, String)]) -> Result<Naming, Failure> {
    let wrong = |what: &str| Failure::usage(format!("--output {text}: {what}"));
    let mut said = Naming::default();
    for (name, value) in fields {
        match (name.as_str(), value.as_str()) {
            ("type", kind) => said.push |= kind == "registry",
            ("name" | "ref", names) => {
                for name in names.split(',') {
                    let name = name.parse();
                    said.names
                        .push(name.map_err(|error: wharf_spec::ReferenceError| wrong("bad name").because(error))?);
                }
            }
            ("push", value) => said.push = value.is_empty() || is_true(value),
            ("compression", format) => {
                let format = CompressionName::from_str(format, false);
                said.compression = Some(
                    format.map_err(|_| wrong("compression is gzip, estargz, zstd, zstd:chunked or uncompressed"))?,
                );
            }
            ("compression-level", level) => {
                said.level = Some(level.parse().map_err(|_| wrong("compression-level is a number"))?);
            }
            // Media types are OCI's, images are in the store, and times of new layers are clamped, all in any case.
            ("oci-mediatypes" | "store", value) if value.is_empty() || is_true(value) => {}
            ("rewrite-timestamp" | "unpack", _) => {}
            (other, value) => match other.strip_prefix("annotation") {
                Some(rest) if rest.starts_with(['.', '-', '[']) => said.annotations.push(annotation(rest, value)?),
                Some(_) | None => return Err(wrong(&format!("`{other}={value}` is not known"))),
            },
        }
    }
    Ok(said)
}

/// `annotation-index[linux/amd64].key` as `--annotation` writes it.
fn annotation(rest: &str, value: &str) -> Result<String, Failure> {
    let wrong =
        || Failure::usage(format!("annotation{rest}: write annotation.NAME=VALUE or annotation-index.NAME=VALUE"));
    let (level, name) = match rest.strip_prefix('[') {
        Some(platform) => {
            let (platform, name) = platform.split_once("].").ok_or_else(wrong)?;
            (format!("manifest[{platform}]"), name)
        }
        None => {
            let (level, name) = rest.split_once('.').ok_or_else(wrong)?;
            (if level.is_empty() { "manifest".to_owned() } else { level.trim_start_matches('-').to_owned() }, name)
        }
    };
    Ok(format!("{level}:{name}={value}"))
}

/// Writes an output.
pub async fn write(store: &OpenStore, built: &Built, output: &Output) -> Result<(), Failure> {
    let unwritable = |path: &Path| {
        let what = format!("could not write {}", path.display());
        move |error: TransferError| Failure::new(what).because(error)
    };
    let source = Made::of(store, built);
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
                archive.list(&built.root.descriptor());
            }
            archive.finish().await.map_err(unwritable(path))
        }
        Output::Layout(path) => {
            let layout = LayoutDirectory::create(path).map_err(unwritable(path))?;
            copy((&source, &source.target()), (&layout, None), &options, &ignore_events())
                .await
                .map_err(unwritable(path))?;
            layout.list(&built.root.descriptor(), None).map_err(unwritable(path))
        }
        Output::Local(path) => match built.parts.as_slice() {
            [part] => directory(part, path).await,
            several => {
                for part in several {
                    directory(part, &path.join(part.request.platform.to_string().replace('/', "_"))).await?;
                }
                Ok(())
            }
        },
        Output::Tar(path) => {
            let [Part { result, .. }] = built.parts.as_slice() else {
                return Err(Failure::usage("--output type=tar takes one platform")
                    .hint("type=local writes a directory for each, type=oci an image for all"));
            };
            if path.as_os_str() == "-" {
                return result
                    .write_tar(std::io::stdout())
                    .await
                    .map(|_| ())
                    .map_err(|error| files_failed(path, error));
            }
            let unwritten =
                |error: std::io::Error| Failure::new(format!("could not write {}", path.display())).because(error);
            let file = std::fs::File::create(path).map_err(unwritten)?;
            result.write_tar(file).await.map_err(|error| files_failed(path, error))?.sync_all().map_err(unwritten)
        }
        // These are given out with everything else that has a name.
        Output::Engine | Output::Image(_) | Output::Nothing => Ok(()),
    }
}

/// The files of one image, and what is attested about it.
async fn directory(part: &Part, path: &Path) -> Result<(), Failure> {
    let skipped = part.result.write_directory(path).await.map_err(|error| files_failed(path, error))?;
    for (file, why) in skipped {
        tracing::warn!("{file} was not written to {}: {why:?}", path.display());
    }
    if let Some(statement) = &part.statement {
        let file = path.join("provenance.json");
        std::fs::write(&file, format!("{statement:#}\n"))
            .map_err(|error| Failure::new(format!("could not write {}", file.display())).because(error))?;
    }
    Ok(())
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
            ("type=docker", Output::Engine),
            ("type=cacheonly", Output::Nothing),
        ] {
            assert_eq!(text.parse::<Output>().unwrap(), output, "{text}");
        }
        let image = |text: &str| match text.parse::<Output>().unwrap() {
            Output::Image(names) => names,
            other => panic!("{other:?}"),
        };
        let two =
            image("type=image,\"name=reg.example/a:1,reg.example/b:2\",push=true,compression=zstd,oci-mediatypes=true");
        assert_eq!(
            two.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["reg.example/a:1", "reg.example/b:2"]
        );
        assert!(two.push && two.compression == Some(CompressionName::Zstd));
        assert!(image("type=registry,name=reg.example/a").push);
        assert!(!image("type=image,name=a").push);
        let annotated = image("type=image,name=a,annotation.k=1,annotation-index.k=2,annotation[linux/amd64].k=3");
        assert_eq!(annotated.annotations, ["manifest:k=1", "index:k=2", "manifest[linux/amd64]:k=3"]);
        for bad in ["type=image,shape=round", "type=image,name=A B", "type=image,oci-mediatypes=false"] {
            assert!(bad.parse::<Output>().is_err(), "{bad}");
        }
        for bad in ["type=oci", "type=what,dest=x", "type=local,dest=x,shape=round"] {
            assert!(bad.parse::<Output>().is_err(), "{bad}");
        }
    }
}
