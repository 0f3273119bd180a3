//! The client as its callers see it, against places on disk and registries in this process.

mod archives;
mod copying;
mod images;
mod layouts;
