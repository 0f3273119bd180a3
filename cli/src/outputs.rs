//! `--output`: what becomes of a build beside its place in the store.

mod form;
mod trees;

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use wharf_builder::dockerfile::suggest::did_you_mean;
use wharf_builder::settings;
use wharf_client::archive::ArchiveWriter;
use wharf_client::layout::LayoutDirectory;
use wharf_client::transfer::{CopyOptions, Error as TransferError, copy, ignore_events};
use wharf_spec::Reference;

pub use self::form::Form;
pub use self::trees::FileTree;

use crate::built::Built;
use crate::failure::Failure;
use crate::places::create_archive;
use crate::publish::Made;
use crate::stores::OpenStore;

/// One output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// `type=oci` and `type=docker`: an archive that is both.
    Archive(PathBuf, Option<Reference>, Form),
    /// `type=oci,tar=false`: a layout directory.
    Layout(PathBuf, Form),
    /// `type=local`: the files as a directory.
    Local(FileTree),
    /// `type=tar`: the files as a tar.
    Tar(FileTree),
    /// `type=docker` without a place: the running engine.
    Engine(Form),
    /// `type=image` and `type=registry`: names in the store, and at their registries.
    Image(Naming),
    /// `type=cacheonly`
    Nothing,
}

/// What `type=image` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// The names.
    pub names: Vec<Reference>,
    /// Whether they are pushed.
    pub push: bool,
    /// Whether they are pushed without a tag, for whoever knows the digest.
    pub by_digest: bool,
    /// Whether the registry may be reached by plain HTTP, or with any certificate.
    pub insecure: Insecure,
    /// Whether the image gets its names in the store.
    pub store: bool,
    /// A repository in which the image is kept without a tag.
    pub dangling: Option<Dangling>,
    /// What the image is like.
    pub form: Form,
}

/// `registry.insecure`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Insecure {
    /// As for every registry.
    #[default]
    No,
    /// Yes.
    Allowed,
}

/// `dangling-name-prefix`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dangling {
    /// The repository.
    pub repository: Reference,
    /// Whether it counts only when there is no name.
    pub only_alone: bool,
}

impl Output {
    /// Whether it takes standard output, so that nothing else may go there.
    pub fn takes_stdout(&self) -> bool {
        match self {
            Self::Tar(tree) => tree.path.as_os_str() == "-",
            Self::Archive(path, ..) => path.as_os_str() == "-",
            Self::Layout(..) | Self::Local(_) | Self::Engine(_) | Self::Image(_) | Self::Nothing => false,
        }
    }

    /// What it says about the image itself.
    pub fn form(&self) -> Option<&Form> {
        match self {
            Self::Archive(_, _, form) | Self::Layout(_, form) | Self::Engine(form) => Some(form),
            Self::Image(naming) => Some(&naming.form),
            Self::Local(_) | Self::Tar(_) | Self::Nothing => None,
        }
    }
}

impl FromStr for Output {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        // As Docker has it: a lone path is a directory, and `-` a tar on standard output.
        match text {
            "-" => return Ok(Self::Tar(FileTree::at(text))),
            _ if !text.contains('=') => return Ok(Self::Local(FileTree::at(text))),
            _ => {}
        }
        let fields = fields(text);
        let kind = fields.iter().find(|(name, _)| name == "type").map_or("local", |(_, kind)| kind.as_str());
        match kind {
            "image" | "registry" => names(text, kind, &fields).map(Self::Image),
            "oci" | "docker" => archive(text, kind, &fields),
            "local" => FileTree::read(text, &fields).map(Self::Local),
            "tar" => FileTree::read(text, &fields).map(Self::Tar),
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

/// The fields of all outputs, for suggestions.
const FIELDS: [&str; 24] = [
    "type",
    "dest",
    "name",
    "tar",
    "push",
    "push-by-digest",
    "registry.insecure",
    "store",
    "unpack",
    "name-canonical",
    "dangling-name-prefix",
    "dangling-name-empty-only",
    "compression",
    "compression-level",
    "force-compression",
    "compatibility-version",
    "oci-mediatypes",
    "oci-artifact",
    "rewrite-timestamp",
    "annotation",
    "platform-split",
    "attestation-prefix",
    "mode",
    "ref",
];

fn unknown(text: &str, name: &str) -> Failure {
    let failure = Failure::usage(format!("--output {text}: `{name}` is not known here"));
    let failure = match did_you_mean(name, FIELDS.into_iter().filter(|field| *field != name)) {
        Some(meant) => failure.hint(meant),
        None => failure,
    };
    failure.hint("an output is written type=oci|docker|local|tar,dest=PATH or type=image|registry,name=NAME")
}

/// `1`, `true`, `0`, `false`, or the bare name.
fn truth(text: &str, (name, value): (&str, &str)) -> Result<bool, Failure> {
    let read = if value.is_empty() { Some(true) } else { settings::truth(value) };
    read.ok_or_else(|| Failure::usage(format!("--output {text}: {name} is true or false, not `{value}`")))
}

fn reference(text: &str, name: &str) -> Result<Reference, Failure> {
    name.parse().map_err(|error: wharf_spec::ReferenceError| {
        Failure::usage(format!("--output {text}: `{name}` is no name of an image")).because(error)
    })
}

/// What `type=oci` and `type=docker` say.
fn archive(text: &str, kind: &str, fields: &[(String, String)]) -> Result<Output, Failure> {
    let (mut form, mut dest, mut name, mut tar) = (Form::default(), None, None, true);
    for (field, value) in fields {
        match (field.as_str(), value.as_str()) {
            ("type", _) => {}
            ("dest", path) => dest = Some(PathBuf::from(path)),
            ("tar", value) => tar = truth(text, ("tar", value))?,
            ("name", value) => name = Some(reference(text, value)?),
            (field, value) if form.take(text, (field, value))? => {}
            (other, _) => return Err(unknown(text, other)),
        }
    }
    match (kind, dest) {
        ("docker", None) => Ok(Output::Engine(form)),
        (_, None) => Err(Failure::usage(format!("--output {text}: dest=PATH is missing"))),
        ("oci", Some(dest)) if !tar => Ok(Output::Layout(dest, form)),
        (_, Some(dest)) => Ok(Output::Archive(dest, name, form)),
    }
}

/// What `type=image` and `type=registry` say.
fn names(text: &str, kind: &str, fields: &[(String, String)]) -> Result<Naming, Failure> {
    let mut said = Naming {
        names: Vec::new(),
        push: kind == "registry",
        by_digest: false,
        insecure: Insecure::No,
        store: true,
        dangling: None,
        form: Form::default(),
    };
    let (mut prefix, mut only_alone) = (None, false);
    for (name, value) in fields {
        let flag = || truth(text, (name, value));
        match name.as_str() {
            "type" => {}
            "name" | "ref" => {
                for name in value.split(',').filter(|name| !name.is_empty()) {
                    said.names.push(reference(text, name)?);
                }
            }
            "push" => said.push = flag()?,
            "push-by-digest" => said.by_digest = flag()?,
            "registry.insecure" => said.insecure = if flag()? { Insecure::Allowed } else { Insecure::No },
            "store" => said.store = flag()?,
            "dangling-name-prefix" => prefix = Some(reference(text, value)?),
            "dangling-name-empty-only" => only_alone = flag()?,
            // Every image of the store can be had by NAME@DIGEST, and none is unpacked before somebody runs it.
            "name-canonical" | "unpack" => {
                flag()?;
            }
            name if said.form.take(text, (name, value))? => {}
            other => return Err(unknown(text, other)),
        }
    }
    said.dangling = prefix.map(|repository| Dangling { repository, only_alone });
    said.check(text)?;
    Ok(said)
}

impl Naming {
    fn check(&self, text: &str) -> Result<(), Failure> {
        if !self.by_digest {
            return Ok(());
        }
        if self.names.is_empty() {
            return Err(Failure::usage(format!("--output {text}: push-by-digest needs a name"))
                .hint("say which repository: name=REGISTRY/NAME, without a tag"));
        }
        match self.names.iter().find(|name| name.tag.is_some() || name.digest.is_some()) {
            Some(name) => Err(Failure::usage(format!("--output {text}: {name} cannot be pushed by digest"))
                .hint("leave the tag out: what is pushed by digest has none")),
            None => Ok(()),
        }
    }
}

/// An archive that goes to whatever standard output is.
async fn standard_output() -> Result<ArchiveWriter, TransferError> {
    let own = std::io::stdout().as_fd().try_clone_to_owned();
    let own = own.map_err(|error| TransferError::io("write to standard output", error))?;
    let out = tokio::fs::File::from_std(own.into());
    ArchiveWriter::to_stream(tokio::io::BufWriter::with_capacity(256 << 10, out)).await
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
        Output::Archive(path, name, _) => {
            let archive = if output.takes_stdout() {
                standard_output().await.map_err(unwritable(path))?
            } else {
                create_archive(path).await?
            };
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
        Output::Layout(path, _) => {
            let layout = LayoutDirectory::create(path).map_err(unwritable(path))?;
            copy((&source, &source.target()), (&layout, None), &options, &ignore_events())
                .await
                .map_err(unwritable(path))?;
            layout.list(&built.root.descriptor(), None).map_err(unwritable(path))
        }
        Output::Local(tree) => tree.write_directory(built).await,
        Output::Tar(tree) => tree.write_tar(built).await,
        // These are given out with everything else that has a name.
        Output::Engine(_) | Output::Image(_) | Output::Nothing => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_read_as_docker_writes_them() {
        for (text, output) in [
            ("out", Output::Local(FileTree::at("out"))),
            ("-", Output::Tar(FileTree::at("-"))),
            ("type=local,dest=out", Output::Local(FileTree::at("out"))),
            ("type=tar,dest=a.tar", Output::Tar(FileTree::at("a.tar"))),
            ("type=oci,dest=a.tar", Output::Archive("a.tar".into(), None, Form::default())),
            ("type=oci,tar=false,dest=dir", Output::Layout("dir".into(), Form::default())),
            (
                "type=docker,dest=a.tar,name=app:1",
                Output::Archive("a.tar".into(), Some("app:1".parse().unwrap()), Form::default()),
            ),
            ("type=docker", Output::Engine(Form::default())),
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
        assert!(two.push && two.form.compression == Some(crate::args::CompressionName::Zstd));
        assert!(image("type=registry,name=reg.example/a").push);
        assert!(!image("type=image,name=a").push);
        let annotated = image("type=image,name=a,annotation.k=1,annotation-index.k=2,annotation[linux/amd64].k=3");
        assert_eq!(annotated.form.annotations, ["manifest:k=1", "index:k=2", "manifest[linux/amd64]:k=3"]);
        for bad in ["type=image,shape=round", "type=image,name=A B", "type=image,push=perhaps"] {
            assert!(bad.parse::<Output>().is_err(), "{bad}");
        }
        let digest =
            image("type=image,name=reg.example/a,push-by-digest=true,push=true,name-canonical=true,store=false");
        assert!(digest.by_digest && digest.push && !digest.store);
        let loose = image("type=image,dangling-name-prefix=loose").dangling.unwrap();
        assert_eq!((loose.repository.to_string().as_str(), loose.only_alone), ("loose", false));
        for bad in ["type=image,name=a:1,push-by-digest=true", "type=registry,push-by-digest=true"] {
            assert!(bad.parse::<Output>().is_err(), "{bad}");
        }
        for bad in ["type=oci", "type=what,dest=x", "type=local,dest=x,shape=round"] {
            assert!(bad.parse::<Output>().is_err(), "{bad}");
        }
    }
}
