//! Moving images between places: remote registries, the local store, OCI layouts and archives.
//!
//! Everything goes through one seam, [`transfer`]: an [`ImageSource`](transfer::ImageSource) is read, an
//! [`ImageSink`](transfer::ImageSink) is written, and [`copy`](transfer::copy) is push, pull, mirror, save and load alike.
//!
//! | place | source | sink |
//! |---|---|---|
//! | a repository of a remote registry | [`registry::RemoteRepository`] | the same |
//! | an OCI layout in a directory | [`layout::LayoutDirectory`] | the same |
//! | an archive (OCI layout in a tar, `docker save`) | [`archive::Archive`] | [`archive::ArchiveWriter::image`] |
//! | a repository in the storage of a CNCF Distribution registry | [`distribution::DistributionRepository`] | – |
//! | a bucket, a container, a CI service's cache | [`flat::FlatRepository`] | the same |
//! | a repository in memory, for tests | [`transfer::MemoryRepository`] | the same |
//!
//! The registry crate adds the local store.
//!
//! # Pulling an image into a layout
//!
//! ```no_run
//! use std::sync::Arc;
//! use wharf_client::auth::DockerConfig;
//! use wharf_client::layout::LayoutDirectory;
//! use wharf_client::registry::Client;
//! use wharf_client::transfer::{CopyOptions, Target, copy, ignore_events};
//! use wharf_client::{ClientConfig, ignore_notices};
//! use wharf_spec::Reference;
//!
//! # async fn pull() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ClientConfig::default();
//! let reference = config.qualify(&"debian:12".parse::<Reference>()?);
//! let host = reference.host.clone().ok_or("qualified names have a host")?;
//! let credentials = Arc::new(DockerConfig::new("/home/me/.docker"));
//! let client = Client::new(config, credentials, ignore_notices())?;
//! let source = client.repository(&host, &reference.repository);
//! let sink = LayoutDirectory::create("debian")?;
//! let tag = reference.tag_or_latest();
//! copy((&source, &Target::from(&reference)), (&sink, tag.as_ref()), &CopyOptions::default(), &ignore_events()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Beyond copying
//!
//! * [`registry::Client`]: `repository`, `ping`, `catalog`; [`registry::RemoteRepository`]: `resolve`, `tags`,
//!   `delete_manifest`, `delete_blob`.
//! * [`registry::login`] tries a credential and keeps it; [`auth::DockerConfig::erase`] forgets it.
//! * [`ClientConfig`]: insecure hosts, mirrors, short names, authorities, timeouts, retries, chunk size, proxies.
//! * [`transfer::choose_platform`]: which image of an index serves a platform.
//! * [`transfer::Error::hint`] and [`registry::Error::hint`]: what the user can do.
//! * [`Notice`]: warnings of registries, retries, mirrors that failed; [`transfer::TransferEvent`]: progress.
//!
//! This crate prints nothing and reads no environment, but that certificate authorities come from where the system keeps
//! them, which `SSL_CERT_FILE` and `SSL_CERT_DIR` can say.

pub mod archive;
pub mod auth;
mod config;
pub mod distribution;
pub mod flat;
pub mod layout;
mod notice;
pub mod registry;
mod span;
pub mod transfer;

pub use config::{ClientConfig, Mirror, MirrorError, Proxies, Retries, Timeouts};
pub use notice::{Notice, Notices, ignore_notices};
