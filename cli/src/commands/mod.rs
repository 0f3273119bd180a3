//! Commands, one file each.

pub mod backup;
pub mod bake;
pub mod build;
pub mod cache;
pub mod completion;
pub mod copy;
pub mod doctor;
pub mod fsck;
pub mod gc;
pub mod history;
pub mod images;
pub mod import;
pub mod inspect;
pub mod login;
pub mod migrate;
pub mod policy;
pub mod prune;
pub mod pull;
pub mod push;
pub mod rm;
pub mod serve;
pub mod tag;
pub mod up;
