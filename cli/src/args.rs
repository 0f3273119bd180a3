//! The command line. Words and meanings are Docker's where Docker has them.

#![expect(clippy::doc_markdown, reason = "these comments are help pages, which show Markdown as it is")]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use wharf_spec::{Earlier, Platform, Reference};

use crate::size::Size;

mod bake;
mod build;
mod limits;
mod policy;

pub use bake::{Bake, Listing, What as BakeList};
pub use build::{Build, BuildOptions, Call, CompressionName, Question, Taken};
pub use limits::LimitOptions;
pub use policy::{PolicyCommand, PolicyOptions};

/// Build, store, serve and deploy container images.
#[derive(Debug, Parser)]
#[command(name = "wharf", version, propagate_version = true, disable_help_subcommand = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  wharf up .                              build ./Dockerfile, serve it, say how to pull it
  wharf build -t team/app:1 .             build into the store
  wharf serve                             serve the store on 127.0.0.1:5000
  wharf push team/app:1 registry.example/team/app:1
  wharf copy registry.example/app:1 oci:./app

A name without a registry host is an image in the store; with a host, it is one in that registry.
Environment: WHARF_STORE, WHARF_CONFIG, DOCKER_CONFIG, NO_COLOR, BUILDKIT_COLORS, … (docs/environment.md).";

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The store: a directory, or s3://BUCKET/PREFIX [env: WHARF_STORE] [default: /var/lib/wharf for root, else ~/.local/share/wharf]
    #[arg(long, global = true, value_name = "DIR")]
    pub store: Option<String>,
    /// Configuration file [env: WHARF_CONFIG] [default: /etc/wharf/config.toml, else ~/.config/wharf/config.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Reach this registry by plain HTTP, or by TLS without checking its certificate (repeatable)
    #[arg(long, global = true, value_name = "HOST[:PORT]")]
    pub insecure_registry: Vec<String>,
    /// Trust the certificate authorities in this PEM file, for all registries (repeatable)
    #[arg(long, global = true, value_name = "FILE")]
    pub registry_ca: Vec<PathBuf>,
    /// How progress is shown [env: BUILDKIT_PROGRESS]
    #[arg(long, global = true, value_enum, value_name = "STYLE")]
    pub progress: Option<ProgressStyle>,
    /// Show nothing but the result
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProgressStyle {
    /// Live lines on a terminal, plain text elsewhere
    Auto,
    /// Live lines
    Tty,
    /// Plain text, one line an event
    Plain,
    /// One JSON object a line, on standard error
    Json,
    /// The same in BuildKit's words, for tools that read those
    Rawjson,
    /// Nothing
    #[value(alias = "none")]
    Quiet,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build an image from a Dockerfile
    Build(Build),
    /// Build the targets of a bake or compose file
    Bake(Bake),
    /// Ask build policies in Rego about sources, and run their tests
    Policy(PolicyOptions),
    /// What builds keep to be faster next time: how much it takes, and making it smaller
    Cache(CacheOptions),
    /// Serve the store as a registry
    Serve(Serve),
    /// Build, serve and tell how to pull: the whole loop in one command
    Up(Up),
    /// Send an image from the store to a registry
    Push(Push),
    /// Fetch an image from a registry into the store
    Pull(Pull),
    /// Copy an image between registries, the store, OCI layouts and docker archives
    #[command(visible_alias = "cp")]
    Copy(Copy),
    /// Give an image in the store another name
    Tag(Tag),
    /// List the images in the store
    #[command(visible_alias = "ls")]
    Images(Images),
    /// Show an image's manifest and configuration as JSON
    Inspect(Inspect),
    /// Remove a tag, or a manifest by digest
    #[command(visible_alias = "rmi")]
    Rm(Rm),
    /// Show what a tag pointed at, since when and by whom
    History(History),
    /// Make a tag point at an earlier version again, or bring a deleted tag back
    Rollback(Rollback),
    /// Delete what the retention rules of the configuration do not keep
    Prune(Prune),
    /// Move everything of another registry here
    Migrate(Migrate),
    /// Write the store's records to a file: names, tags with history, manifests
    Backup(Backup),
    /// Read records that `wharf backup` wrote into an empty store
    Restore(Restore),
    /// Make an image of a root file system tar
    Import(Import),
    /// Delete what no image in the store needs any more
    Gc(Gc),
    /// Check that everything in the store is what it should be
    Fsck(Fsck),
    /// Log in to a registry
    Login(Login),
    /// Log out of a registry
    Logout(Logout),
    /// Say what this machine lets builds do, and what stands in the way of more
    Doctor,
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharf cache du
  wharf cache prune --keep 10GB")]
pub struct CacheOptions {
    #[command(subcommand)]
    pub command: CacheCommand,
}

#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Print how much room unpacked layers, cache mounts and notes take
    Du,
    /// Remove what was not used for the longest time; images and their layers in the store stay
    Prune {
        /// Leave this much, for example 500MB or 10GB
        #[arg(long, value_name = "SIZE", default_value = "0")]
        keep: Size,
    },
}

/// What `serve` and `up` share.
#[derive(Clone, Debug, Args)]
pub struct ServeOptions {
    /// Address to listen on [default: 127.0.0.1:5000]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// Certificate chain, PEM; serves HTTPS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Ask for a login: htpasswd file with bcrypt entries (htpasswd -B)
    #[arg(long, value_name = "FILE")]
    pub htpasswd: Option<PathBuf>,
    /// Let everybody pull although a htpasswd file is set
    #[arg(long)]
    pub anonymous_pull: bool,
    /// Let clients fetch layers from the bucket itself, which they must be able to reach (S3 stores)
    #[arg(long)]
    pub redirect: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharf serve
  wharf serve --listen 0.0.0.0:5000 --tls-cert cert.pem --tls-key key.pem --htpasswd users
  wharf serve --store 's3://images/wharf?region=eu-central-1'
  htpasswd -Bbn ann secret > users               one line a user, bcrypt only")]
pub struct Serve {
    #[command(flatten)]
    pub options: ServeOptions,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharf up .
  wharf up --listen 0.0.0.0:5000 -t team/app:1 ./app")]
pub struct Up {
    #[command(flatten)]
    pub serve: ServeOptions,
    #[command(flatten)]
    pub build: BuildOptions,
    /// The context: a directory, a Git repository (URL.git#REF:DIR), the URL of a tar, or `-` for a tar or Dockerfile on standard input
    #[arg(value_name = "CONTEXT")]
    pub context: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharf push registry.example/team/app:1                  built or tagged under that name
  wharf push team/app:1 registry.example/team/app:1")]
pub struct Push {
    /// The image in the store
    pub image: Reference,
    /// Its name in the registry, where it differs
    pub destination: Option<Reference>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharf pull debian:12                                    from docker.io
  wharf pull registry.example/team/app:1 team/app:1       and keep it as team/app:1")]
pub struct Pull {
    /// The image in a registry
    pub image: Reference,
    /// Its name in the store, where it differs
    pub name: Option<Reference>,
    /// Only this platform of a multi-platform image; all by default
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Places:
  team/app:1                      in the store
  registry.example/team/app:1     in a registry
  oci:DIR[:TAG]                   an OCI layout directory
  oci-archive:FILE[:TAG]          an OCI layout tar
  docker-archive:FILE[:NAME:TAG]  what docker save writes and docker load reads")]
pub struct Copy {
    /// From where
    pub source: String,
    /// To where
    pub destination: String,
    /// Only this platform of a multi-platform image; all by default
    #[arg(long, value_name = "OS/ARCH", conflicts_with = "all_platforms")]
    pub platform: Option<Platform>,
    /// Every platform (the default)
    #[arg(long)]
    pub all_platforms: bool,
    /// Leave signatures, SBOMs and other referrers behind
    #[arg(long)]
    pub no_referrers: bool,
}

#[derive(Debug, Args)]
pub struct Tag {
    /// The image
    pub image: Reference,
    /// Its other name
    pub name: Reference,
}

#[derive(Debug, Args)]
pub struct Images {
    /// Only images of this repository
    pub repository: Option<String>,
    /// Print a JSON list
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Inspect {
    /// The image, in the store or a registry
    pub image: Reference,
    /// Print the manifest's exact bytes
    #[arg(long, conflicts_with = "image_config")]
    pub raw: bool,
    /// Print the image's configuration only
    #[arg(long)]
    pub image_config: bool,
    /// Platform of a multi-platform image
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
}

#[derive(Debug, Args)]
pub struct Rm {
    /// The images, NAME:TAG or NAME@DIGEST
    #[arg(required = true)]
    pub images: Vec<Reference>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Sources:
  HOST[:PORT]        a registry, with all it lists
  distribution:DIR   the storage directory of registry:2 or registry:3; no server need run
  oci:DIR            an OCI layout, or a directory of layouts as zot keeps them

Examples:
  wharf migrate old.example:5000                          into the store
  wharf migrate old.example:5000 new.example --jobs 8
  wharf migrate distribution:/var/lib/registry --repository 'team/*'
  wharf migrate distribution:s3://bucket/prefix            the storage of registry:2 or registry:3 in a bucket

What is there already is not moved again: after an interruption, the same command goes on.")]
pub struct Migrate {
    /// From where
    pub source: String,
    /// To this registry [default: the store]
    #[arg(value_name = "HOST[:PORT]")]
    pub destination: Option<String>,
    /// Only repositories with this name; `*` and `**` as in rules (repeatable)
    #[arg(long = "repository", value_name = "PATTERN")]
    pub repositories: Vec<String>,
    /// How many images are moved at once
    #[arg(short, long, value_name = "NUMBER", default_value = "4")]
    pub jobs: std::num::NonZeroU8,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharf backup records.wharf && rsync -a /var/lib/wharf/objects/ elsewhere:objects/

The records are those of one moment, also while the store is served. The bytes of layers and configurations are files
under objects/ in the store, each written once: copy them after the records.")]
pub struct Backup {
    /// The file to write
    pub file: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharf restore --store /srv/new records.wharf && rsync -a elsewhere:objects/ /srv/new/objects/")]
pub struct Restore {
    /// The file to read
    pub file: PathBuf,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharf history team/app:stable                           in the store
  wharf history registry.example/team/app:stable          at a registry that is Wharf's
  wharf history team/app --format json | jq '.history[].descriptor.digest'")]
pub struct History {
    /// The tag, NAME[:TAG]; of the store without a host, else of that registry
    #[arg(value_name = "NAME[:TAG]")]
    pub image: Reference,
    /// How it is printed
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharf rollback team/app:stable                          to what it was before; again: further back
  wharf rollback registry.example/team/app:stable --to 12
  wharf rollback team/app:stable --to sha256:0c25...

Versions are numbered: `wharf history` shows them. A rollback is a version itself, so it can be undone.")]
pub struct Rollback {
    /// The tag, NAME[:TAG]; of the store without a host, else of that registry
    #[arg(value_name = "NAME[:TAG]")]
    pub image: Reference,
    /// To this version, or the newest with this digest [default: one back]
    #[arg(long, value_name = "VERSION|DIGEST", value_parser = earlier)]
    pub to: Option<Earlier>,
}

fn earlier(text: &str) -> Result<Earlier, String> {
    if let Ok(version) = text.parse() {
        return Ok(Earlier::Version(version));
    }
    let wrong = |error| format!("neither the number of a version nor a digest: {error}");
    text.parse().map(Earlier::Digest).map_err(|error: wharf_spec::DigestError| wrong(error))
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharf prune --dry-run                                   say what would go, and why
  wharf prune

The rules are [[rule]] tables of the configuration file (docs/versions.md). `wharf serve` applies them by itself.")]
pub struct Prune {
    /// Only say what would go
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharf gc --dry-run
  wharf gc --grace 0                      nobody pushes or builds at the moment: whatever is not needed goes now

Runs while others use the store. `wharf serve` does the same by itself every hour.")]
pub struct Gc {
    /// Say what would be freed, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Leave alone what is younger: a number and s, m, h or d [default: 24h]
    #[arg(long, value_name = "AGE", value_parser = crate::span::parse)]
    pub grace: Option<std::time::Duration>,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Reads and hashes every blob and every manifest, and compares every record with those it depends on. Runs while others use
the store. Exit code 0: everything is in order, or was repaired; 2: something is not; 1: it could not be checked.")]
pub struct Fsck {
    /// Build anew what follows from the rest, and put damaged content aside, so that it can be pushed again
    #[arg(long)]
    pub repair: bool,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  debootstrap --variant=minbase bookworm root && tar -C root -c . | wharf import - debian:bookworm
  wharf import rootfs.tar.zst alpine:edge --change 'CMD [\"/bin/sh\"]'")]
pub struct Import {
    /// A tar of a root file system, plain or compressed (gzip, bzip2, xz, zstd); `-` reads standard input
    pub file: PathBuf,
    /// Name of the image
    pub name: Reference,
    /// Apply a Dockerfile instruction to its configuration: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME, WORKDIR (repeatable)
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    pub changes: Vec<String>,
    /// Platform of the image [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<Platform>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharf login registry.example
  echo \"$TOKEN\" | wharf login -u ci --password-stdin registry.example")]
pub struct Login {
    /// The registry [default: docker.io]
    pub registry: Option<String>,
    /// User name
    #[arg(short, long)]
    pub username: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    pub password_stdin: bool,
}

#[derive(Debug, Args)]
pub struct Logout {
    /// The registry [default: docker.io]
    pub registry: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }

    /// A command's own option of that name would be read where the shared one is meant.
    #[test]
    fn no_command_takes_the_name_of_a_shared_option() {
        let mut shared = clap::Command::new("shared");
        shared = <super::Global as clap::Args>::augment_args(shared);
        let shared: Vec<_> = shared.get_arguments().map(|argument| argument.get_id().clone()).collect();
        for command in super::Cli::command().get_subcommands() {
            for argument in command.get_arguments() {
                assert!(!shared.contains(argument.get_id()), "{} --{}", command.get_name(), argument.get_id());
            }
        }
    }
}
