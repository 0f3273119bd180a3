//! The command line of `policy`.

#![expect(clippy::doc_markdown, reason = "these comments are help pages, which show Markdown as it is")]

use std::path::PathBuf;

use clap::{Args, Subcommand};
use wharf_spec::Platform;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wharf policy eval docker-image://alpine:3.22   may a build use it?
  wharf policy eval --print --fields image.labels docker-image://alpine:3.22
  wharf policy test .                            run the tests in *_test.rego")]
pub struct PolicyOptions {
    #[command(subcommand)]
    pub command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Ask a policy about one source: docker-image://REF, the URL of a file or a Git repository, or a directory
    Eval {
        /// Which policy: the one of this Dockerfile, FILE.rego
        #[arg(
            short = 'f',
            long = "filename",
            visible_alias = "file",
            value_name = "FILE",
            default_value = "Dockerfile"
        )]
        file: PathBuf,
        /// Show what a policy sees of the source, and ask none
        #[arg(long)]
        print: bool,
        /// With --print: look at the source for these fields, too, for example image.labels
        #[arg(long, value_name = "FIELD", value_delimiter = ',')]
        fields: Vec<String>,
        /// What the image is to run on [default: this machine]
        #[arg(long, value_name = "OS/ARCH")]
        platform: Option<Platform>,
        /// The source
        #[arg(value_name = "SOURCE")]
        source: String,
    },
    /// Run the tests of a policy: rules that begin with `test_`, in a file or directory of files *_test.rego
    Test {
        /// Which policy: the one of this Dockerfile, FILE.rego
        #[arg(long = "filename", value_name = "FILE", default_value = "Dockerfile")]
        file: PathBuf,
        /// Only tests with this in their names
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        run: String,
        /// The tests
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
}
