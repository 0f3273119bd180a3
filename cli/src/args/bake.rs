//! The command line of `bake`.

#![expect(clippy::doc_markdown, reason = "these comments are help pages, which show Markdown as it is")]

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::build::Call;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(after_help = "\
Examples:
  wharf bake                                     the group or target `default` of compose.yaml, docker-bake.hcl, …
  wharf bake app tests                           these targets; patterns are fine, too: 'app-*'
  wharf bake --print app                         what would be built, as JSON
  wharf bake --list targets
  wharf bake --set '*.platform=linux/arm64' --set app.args.VERSION=2
  TAG=v2 wharf bake --push                       variables of the file come from the environment
  wharf bake -f base.hcl -f release.hcl release
  wharf bake https://example.com/repo.git#main app     definition and contexts of a repository")]
pub struct Bake {
    /// What defines the targets: HCL, JSON or a compose file, later ones over earlier ones; `-` is standard input (repeatable) [env: BUILDX_BAKE_FILE] [default: compose.yaml, docker-bake.json, docker-bake.hcl and others, as far as they are there]
    #[arg(short, long = "file", value_name = "FILE")]
    pub files: Vec<String>,
    /// Say something else of targets: TARGET.KEY=VALUE, with += to add to a list; the target may be a pattern (repeatable)
    #[arg(long = "set", value_name = "TARGET.KEY=VALUE")]
    pub set: Vec<String>,
    /// Set a variable of the file, as the environment does (repeatable)
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub vars: Vec<String>,
    /// Print what would be built, as JSON, and build nothing
    #[arg(long, conflicts_with = "list")]
    pub print: bool,
    /// List the targets or the variables: targets, variables, or type=targets,format=json
    #[arg(long, value_name = "WHAT")]
    pub list: Option<Listing>,
    /// Push the images to the registries their tags name
    #[arg(long)]
    pub push: bool,
    /// Load the images into the Docker or Podman at $DOCKER_HOST, by default Docker's own socket
    #[arg(long)]
    pub load: bool,
    /// Run every step again
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub no_cache: Option<bool>,
    /// Ask the registries for newer base images
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub pull: Option<bool>,
    /// Say in an index how the images were made: true, false, mode=min or mode=max
    #[arg(long, value_name = "ATTRIBUTES")]
    pub provenance: Option<String>,
    /// Say in an index what is in the images: true, or generator=IMAGE
    #[arg(long, value_name = "ATTRIBUTES")]
    pub sbom: Option<String>,
    /// Write what was built to this file, as JSON by target
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// Only check the Dockerfiles, like --call=check
    #[arg(long, conflicts_with = "call")]
    pub check: bool,
    /// Answer a question instead of building: check, outline or targets, then perhaps `,format=json`
    #[arg(long, value_name = "METHOD", default_value = "build", hide_default_value = true)]
    pub call: Call,
    /// Grant what targets ask for: security.insecure, which is as good as root; for definitions of repositories also fs=DIR, fs.read=DIR, fs.write=DIR and ssh (repeatable)
    #[arg(long = "allow", value_name = "WHAT")]
    pub allow: Vec<String>,
    /// Rules about what may be used, in BuildKit's JSON: ALLOW, DENY, CONVERT [env: EXPERIMENTAL_BUILDKIT_SOURCE_POLICY] (repeatable)
    #[arg(long = "source-policy-file", value_name = "FILE")]
    pub source_policies: Vec<PathBuf>,
    /// Say of every step whether its result was known, and if not, which input changed
    #[arg(long)]
    pub explain_cache: bool,
    /// Steps that run at once [default: one for each processor, at least two]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// What holds for the Rego policies of all targets: disabled=true, log-level=LEVEL; the policies are in the definition (repeatable)
    #[arg(long = "policy", value_name = "POLICY")]
    pub policies: Vec<String>,
    #[arg(long, hide = true)]
    pub builder: Option<String>,
    /// What to build: targets and groups, or patterns of them; before them perhaps the URL of a repository or an archive with the definition [default: default]
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
}

impl Bake {
    /// Whether anything is built, and not only shown.
    pub fn builds(&self) -> bool {
        !self.print && self.list.is_none() && self.asked().question.is_none()
    }

    /// What is asked instead of a build.
    pub fn asked(&self) -> Call {
        if self.check { Call { question: Some(super::Question::Check), ..self.call } } else { self.call }
    }
}

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Targets and groups.
    Targets,
    /// Variables.
    Variables,
}

/// A list, and its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Of what.
    pub what: What,
    /// Whether it is JSON.
    pub json: bool,
}

impl FromStr for Listing {
    type Err = String;

    /// `targets`, `variables`, or `type=…,format=table|json`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (mut what, mut json) = (None, false);
        for field in text.split(',') {
            match field.split_once('=').unwrap_or(("type", field)) {
                ("type", "targets") => what = Some(What::Targets),
                ("type", "variables") => what = Some(What::Variables),
                ("type", other) => return Err(format!("there are targets and variables to list, not `{other}`")),
                ("format", "json") => json = true,
                ("format", "table") => json = false,
                _ => return Err(format!("`{field}` is not `format=json` or `format=table`")),
            }
        }
        what.map(|what| Self { what, json }).ok_or_else(|| "say what: type=targets or type=variables".to_owned())
    }
}
