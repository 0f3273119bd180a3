//! `--cache-from` and `--cache-to`: results of steps at registries, in directories, buckets and other places, and inside
//! images.
//!
//! A place is asked for one key at a time, and only when the store does not know it. Sending is the same for every kind of
//! place: an entry is a small manifest with one layer, and what is there already is not sent again.
//!
//! ```text
//! options.rs  which fields there are, and what each may say
//! flag.rs     fields -> a place and what is sent there
//! places.rs   a place -> something that can be read and written
//! reader.rs   --cache-from
//! writer.rs   --cache-to
//! ```

mod flag;
mod options;
mod places;
mod reader;
mod writer;

pub use flag::{CacheFlag, CachePlace, Mounts, flags};
pub use reader::readers;
pub use writer::send;
