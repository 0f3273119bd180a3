//! Solving: from a plan to layers.
//!
//! ```text
//! solver      stages and steps in order; what is known, what must run        key, memory   the step cache
//! copy_step   COPY, ADD, WORKDIR: an archive made from indexes               run_step      RUN: overlay, sandbox, diff
//! depot       layers as blobs, indexes, directories; each made once          stage_files   files of a stage by name
//! cache_dir   what is on disk beside the store                               transport     store <-> threads
//! ```

mod agent;
mod blame;
mod cache_dir;
mod cache_mount;
mod cache_use;
mod copy_layer;
mod copy_step;
mod depot;
mod directory;
mod earlier;
mod epoch;
mod fresh;
mod key;
mod layer;
mod materialise;
mod memory;
mod notes;
mod once;
mod read_ahead;
mod remote;
mod report;
mod run_mounts;
mod run_output;
mod run_step;
mod settling;
mod shared_mount;
mod solver;
mod stage_files;
mod together;
mod transport;
mod turn;

pub use cache_use::{CachePart, CacheUsage, PartUsage, Pruning, cache_usage, prune_cache};
pub use depot::LayerFault;
pub use together::Together;

pub(crate) use cache_dir::CacheDir;
pub(crate) use depot::{Depot, compression};
pub(crate) use epoch::time_of;
pub(crate) use layer::{Layer, Stack};
pub(crate) use report::Reporter;
pub(crate) use solver::{Need, Solver};
pub(crate) use stage_files::Contents;
pub(crate) use transport::{BlobReader, blocking, store_bytes};
