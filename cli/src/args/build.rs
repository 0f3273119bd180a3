//! The command line of `build`, and what `up` shares with it.

#![expect(clippy::doc_markdown, reason = "these comments are help pages, which show Markdown as it is")]

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use wharf_builder::settings;
use wharf_spec::{Platform, PlatformError, Reference};

use super::limits::LimitOptions;

/// What `build` and `up` share.
#[derive(Clone, Debug, Args)]
pub struct BuildOptions {
    /// Dockerfile [default: Dockerfile in the context; `-` reads standard input]
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Name of the image, NAME[:TAG] (repeatable)
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    pub tags: Vec<Reference>,
    /// Set a build argument; without a value it is taken from the environment (repeatable)
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub build_args: Vec<String>,
    /// Build this stage
    #[arg(long, value_name = "STAGE")]
    pub target: Option<String>,
    /// Platforms of the image, for example linux/amd64,linux/arm64 [default: this machine's]
    #[arg(long = "platform", value_name = "OS/ARCH", value_delimiter = ',', value_parser = platform)]
    pub platforms: Vec<Platform>,
    /// Run every step again
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    #[arg(value_parser = truth, action = ArgAction::Set, value_name = "BOOL", hide_default_value = true)]
    pub no_cache: bool,
    /// Run the steps of this stage again (repeatable)
    #[arg(long = "no-cache-filter", value_name = "STAGE", value_delimiter = ',')]
    pub no_cache_filter: Vec<String>,
    /// Say of every step whether its result was known, and if not, which input changed
    #[arg(long)]
    pub explain_cache: bool,
    /// Look for results of steps there, too: REGISTRY/NAME, type=local,src=DIR, type=s3,bucket=NAME, type=azblob,account_url=URL
    /// or type=gha (repeatable)
    #[arg(long = "cache-from", value_name = "CACHE")]
    pub cache_from: Vec<String>,
    /// Send results of steps there: type=registry,ref=NAME, type=local,dest=DIR, type=inline, or as above; mode=min sends those
    /// of the last stage only, and with ignore-error=true a cache that cannot be written is a warning (repeatable)
    #[arg(long = "cache-to", value_name = "CACHE")]
    pub cache_to: Vec<String>,
    /// Ask the registries for newer base images
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    #[arg(value_parser = truth, action = ArgAction::Set, value_name = "BOOL", hide_default_value = true)]
    pub pull: bool,
    /// Another context for COPY --from, FROM and RUN --mount: a directory, oci-layout://DIR[:TAG], docker-image://REF, a Git repository or the URL of a tar; NAME::OS/ARCH is for that platform alone (repeatable)
    #[arg(long = "build-context", value_name = "NAME=VALUE")]
    pub contexts: Vec<String>,
    /// A secret for RUN --mount=type=secret: id=NAME[,src=FILE|,env=VARIABLE] (repeatable)
    #[arg(long = "secret", value_name = "SECRET")]
    pub secrets: Vec<String>,
    /// An SSH agent for RUN --mount=type=ssh and Git: ID, of $SSH_AUTH_SOCK, ID=SOCKET, or ID=KEY[,KEY] to serve key files (repeatable)
    #[arg(long = "ssh", value_name = "ID[=SOCKET|KEY]")]
    pub ssh: Vec<String>,
    /// Rules about what may be used, in BuildKit's JSON: ALLOW, DENY, CONVERT [env: EXPERIMENTAL_BUILDKIT_SOURCE_POLICY] (repeatable)
    #[arg(long = "source-policy-file", value_name = "FILE")]
    pub source_policies: Vec<PathBuf>,
    /// A policy in Rego that has to allow every source, beside DOCKERFILE.rego: filename=FILE, or cwd://FILE for one that is not in the context; reset=true leaves out those before, disabled=true all; log-level=debug shows what they say (repeatable)
    #[arg(long = "policy", value_name = "POLICY")]
    pub policies: Vec<String>,
    /// Grant what a Dockerfile asks for: security.insecure, which is as good as root (repeatable)
    #[arg(long = "allow", value_name = "WHAT")]
    pub allow: Vec<String>,
    /// Set a label (repeatable)
    #[arg(long = "label", value_name = "NAME=VALUE")]
    pub labels: Vec<String>,
    /// Set an annotation of the manifest, or with `index:` before the name of the index of several platforms (repeatable)
    #[arg(long = "annotation", value_name = "NAME=VALUE")]
    pub annotations: Vec<String>,
    /// Add a line to /etc/hosts in RUN (repeatable)
    #[arg(long = "add-host", value_name = "HOST:IP")]
    pub hosts: Vec<String>,
    /// Network of RUN: default, host or none
    #[arg(long, value_name = "MODE", default_value = "default")]
    pub network: String,
    #[command(flatten)]
    pub limits: LimitOptions,
    #[command(flatten)]
    pub taken: Taken,
    /// Compression of new layers
    #[arg(long, value_enum, default_value = "gzip")]
    pub compression: CompressionName,
    /// How hard to compress: 0 to 9 for gzip and estargz [default: 1], 1 to 22 for zstd [default: 3]
    #[arg(long, value_name = "LEVEL")]
    pub compression_level: Option<u32>,
    /// Steps that run at once [default: one for each processor, at least two]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
}

/// What `docker build` takes as well, and what means nothing here.
#[derive(Clone, Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of Docker's")]
pub struct Taken {
    #[arg(long, hide = true)]
    pub builder: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    #[arg(value_parser = truth, action = ArgAction::Set, value_name = "BOOL", hide_default_value = true)]
    pub rm: bool,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    #[arg(value_parser = truth, action = ArgAction::Set, value_name = "BOOL", hide_default_value = true)]
    pub force_rm: bool,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    #[arg(value_parser = truth, action = ArgAction::Set, value_name = "BOOL", hide_default_value = true)]
    pub compress: bool,
    #[arg(short = 'D', long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    #[arg(value_parser = truth, action = ArgAction::Set, value_name = "BOOL", hide_default_value = true)]
    pub debug: bool,
    #[arg(long, hide = true, value_name = "WHAT")]
    pub isolation: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    #[arg(value_parser = truth, action = ArgAction::Set, value_name = "BOOL", hide_default_value = true)]
    pub squash: bool,
    #[arg(long = "security-opt", hide = true, value_name = "OPTION")]
    pub security_options: Vec<String>,
}

impl Taken {
    /// Flags whose wishes are not met, and what to do instead.
    pub fn unmet(&self) -> Vec<&'static str> {
        let isolated = self.isolation.as_deref().is_some_and(|isolation| !matches!(isolation, "" | "default"));
        let unmet = [
            (self.squash, "--squash does nothing: copy into a last stage that is FROM scratch"),
            (isolated, "--isolation does nothing: there is one sandbox"),
            (
                !self.security_options.is_empty(),
                "--security-opt does nothing: RUN --security=insecure is what there is",
            ),
        ];
        unmet.into_iter().filter(|(unmet, _)| *unmet).map(|(_, text)| text).collect()
    }
}

/// What Docker takes after a flag that is given or not: `--pull=true`, `--pull=0`.
fn truth(text: &str) -> Result<bool, String> {
    settings::truth(text).ok_or_else(|| "it is true or false".to_owned())
}

/// `local` is this machine's, as Docker has it.
fn platform(text: &str) -> Result<Platform, PlatformError> {
    if text == "local" { Ok(Platform::host()) } else { text.parse() }
}

/// What `build` is to do, and how it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The question, or none for a build.
    pub question: Option<Question>,
    /// Whether the answer is JSON.
    pub json: bool,
    /// Whether findings of a check leave the exit code alone.
    pub ignore_status: bool,
}

/// A question about a Dockerfile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// What the linter finds.
    Check,
    /// What a target takes.
    Outline,
    /// Which targets there are.
    Targets,
}

impl std::str::FromStr for Call {
    type Err = String;

    /// `METHOD[,format=json|text][,ignorestatus=true|false]`, as Docker takes it.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut call = Self { question: None, json: false, ignore_status: false };
        for (index, field) in text.split(',').enumerate() {
            match (index, field) {
                (0, "build") => {}
                (0, "check" | "lint") => call.question = Some(Question::Check),
                (0, "outline") => call.question = Some(Question::Outline),
                (0, "targets") => call.question = Some(Question::Targets),
                (0, _) => return Err("the methods are build, check, outline and targets".to_owned()),
                (_, "format=json") => call.json = true,
                (_, "format=text") => call.json = false,
                (_, "ignorestatus" | "ignorestatus=true" | "ignorestatus=1") => call.ignore_status = true,
                (_, "ignorestatus=false" | "ignorestatus=0") => call.ignore_status = false,
                _ => return Err(format!("`{field}` is not `format=json`, `format=text` or `ignorestatus`")),
            }
        }
        Ok(call)
    }
}

impl Build {
    /// What is asked instead of a build.
    pub fn asked(&self) -> Call {
        if self.check { Call { question: Some(Question::Check), ..self.call } } else { self.call }
    }
}

/// How layers are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompressionName {
    /// gzip, which every client reads
    Gzip,
    /// gzip that containerd's stargz snapshotter can fetch file by file
    Estargz,
    /// zstd, faster and smaller; Docker reads it from version 23 on
    Zstd,
    /// zstd of which podman and CRI-O fetch only the files that changed
    #[value(name = "zstd:chunked")]
    ZstdChunked,
    /// plain tar
    Uncompressed,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharf build -t team/app:1 .
  wharf build -t registry.example/team/app:1 --push .
  wharf build --target test --build-arg VERSION=2 .
  wharf build --output type=oci,dest=app.tar .
  wharf build --output out .                     the files of the last stage, as a directory
  wharf build --check .                          what is questionable in the Dockerfile; ends with 1 if anything is
  wharf build --call=targets .                   the stages that can be built")]
pub struct Build {
    #[command(flatten)]
    pub options: BuildOptions,
    /// Push the image to the registries its tags name
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    #[arg(value_parser = truth, action = ArgAction::Set, value_name = "BOOL", hide_default_value = true)]
    pub push: bool,
    /// Load the image into the Docker or Podman at $DOCKER_HOST, by default Docker's own socket
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    #[arg(value_parser = truth, action = ArgAction::Set, value_name = "BOOL", hide_default_value = true)]
    pub load: bool,
    /// Say in an index how the image was made: type=provenance[,mode=min|max][,builder-id=URI], or what is in it: type=sbom[,generator=IMAGE] (repeatable)
    #[arg(long = "attest", value_name = "ATTRIBUTES")]
    pub attest: Vec<String>,
    /// The same, shorter: true, false, mode=min or mode=max, which tells the values of build arguments
    #[arg(long, value_name = "ATTRIBUTES")]
    pub provenance: Option<String>,
    /// Say in an index what is in the image: true, or generator=IMAGE for one that writes in-toto statements
    #[arg(long, value_name = "ATTRIBUTES")]
    pub sbom: Option<String>,
    /// Write the result: type=oci|docker|local|tar,dest=PATH, type=image|registry,name=NAME, or a directory (repeatable)
    #[arg(short, long = "output", value_name = "OUTPUT")]
    pub outputs: Vec<String>,
    /// Only check the Dockerfile, like --call=check
    #[arg(long, conflicts_with = "call", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false)]
    #[arg(value_parser = truth, action = ArgAction::Set, value_name = "BOOL", hide_default_value = true)]
    pub check: bool,
    /// Answer a question instead of building: check, outline or targets, then perhaps `,format=json`
    #[arg(long, value_name = "METHOD", default_value = "build", hide_default_value = true)]
    pub call: Call,
    /// Write the image's id to this file
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,
    /// Write what was built to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// The context: a directory, a Git repository (URL.git#REF:DIR), the URL of a tar, or `-` for a tar or Dockerfile on standard input
    #[arg(value_name = "CONTEXT")]
    pub context: String,
}
