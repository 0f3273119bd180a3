//! Remote registries over the OCI distribution API: [`Client`] for what all repositories share, [`RemoteRepository`] as
//! an [`ImageSource`](crate::transfer::ImageSource) and [`ImageSink`](crate::transfer::ImageSink).
//!
//! Guarantees: everything received is checked against its digest; credentials go to the registry they are for and to
//! its token service, nowhere else; nothing is waited for, retried, or read into memory without a bound.

mod ahead;
mod answer;
mod arrived;
mod authorize;
mod client;
mod delete;
mod download;
mod endpoint;
mod error;
mod exchange;
mod history;
mod link;
mod list;
mod location;
mod login;
mod pieces;
mod plain;
mod probe;
mod pull;
mod push;
mod referrers;
mod repository;
mod retry;
mod tls;
mod upload;

pub use ahead::{Ahead, Form};
pub use client::Client;
pub(crate) use client::{plain_client, root_cause};
pub use error::Error;
pub(crate) use error::printable;
pub use login::{LoggedIn, login};
pub use plain::{PlainAnswer, get};
pub use repository::RemoteRepository;
