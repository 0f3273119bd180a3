//! The client as its callers see it, against places on disk and registries in this process.

mod archives;
mod copying;
mod fake;
mod flat;
mod images;
mod layouts;
mod logins;
mod memory;
mod pulling;
mod pushing;
