//! The registry: [`repo`] keeps repositories, tags with their history, uploads and referrers over a store;
//! [`gc`] collects what nobody needs any more; [`fsck`] checks a store; [`http`] serves them as the OCI distribution specification says. Knows no Dockerfile and no terminal.

pub mod fsck;
pub mod gc;
pub mod http;
pub mod repo;
mod seat;
