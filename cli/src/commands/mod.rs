//! Commands, one file each.

pub mod completion;
pub mod images;
pub mod inspect;
pub mod rm;
pub mod serve;
pub mod tag;
