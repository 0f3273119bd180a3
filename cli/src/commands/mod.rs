//! Commands, one file each.

pub mod build;
pub mod completion;
pub mod copy;
pub mod doctor;
pub mod gc;
pub mod images;
pub mod import;
pub mod inspect;
pub mod login;
pub mod pull;
pub mod push;
pub mod rm;
pub mod serve;
pub mod tag;
pub mod up;
