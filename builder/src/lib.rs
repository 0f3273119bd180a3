//! Dockerfile to content-addressed layers to image.
//!
//! ```text
//! dockerfile/  text -> stages of typed instructions          plan/    stages -> graph of steps, everything expanded
//! context/     files that COPY and ADD read                  solve/   graph -> layers, through the step cache
//! layer/       layers: read, write, index, diff, unpack      image/   layers -> configuration and manifest
//! sandbox/     one RUN in its own namespaces                 output/  layers -> a directory or a tar
//! git/         repositories -> files, by the `git` program
//! ```
//!
//! [`build`] is the way in. The builder reads no environment variable and no clock but the store's, prints nothing and
//! speaks no HTTP: what it needs is in [`BuildEnvironment`], what is asked of it in [`BuildRequest`].

pub mod attest;
pub mod base;
mod build;
mod check;
mod context;
mod copy;
pub mod dockerfile;
pub mod environment;
pub mod error;
pub mod event;
pub mod fetch;
mod files;
pub mod git;
pub mod ignore;
mod image;
mod jobs;
pub mod layer;
mod layer_ids;
mod output;
mod plan;
pub mod policy;
pub mod request;
pub mod result;
pub mod sandbox;
mod scan;
pub mod settings;
pub mod shared;
mod solve;
pub mod ssh;
mod tap;

pub use base::{BaseError, BaseImage, BaseImages, ImageName, NoImages};
pub use build::build;
pub use check::{Checked, check, outline, targets};
pub use environment::BuildEnvironment;
pub use error::BuildError;
pub use event::{BuildEvent, CacheVerdict, Events, MadeLayer, MissReason, StepId, StepInfo, Stream, ignore_events};
pub use fetch::{Fetch, FetchError, Fetched, Offline};
pub use output::{NotWritten, ResultPath, TarPart, write_tar};
pub use request::{
    BaseLayers, BuildRequest, CacheUse, ContextSource, DockerfileText, Entitlement, LayerCompression, MountSharing,
    SecretValue,
};
pub use result::{BuildResult, StepOutcome, StepReport};
pub use shared::{SharedLayer, StepCache, StepLayer};
pub use solve::{CachePart, CacheUsage, LayerFault, PartUsage, Pruning, Together, cache_usage, prune_cache};
pub use tap::{LayerTap, Taps};
