//! The registry: [`repo`] keeps repositories, tags with their history, uploads and referrers over a store;
//! [`gc`] collects what nobody needs any more; [`fsck`] checks a store; [`background`] is where such work steps back for those who wait;
//! [`http`] serves them as the OCI distribution specification says. Knows no Dockerfile and no terminal.

pub mod background;
pub mod fsck;
pub mod gc;
pub mod http;
pub mod repo;
mod seat;
