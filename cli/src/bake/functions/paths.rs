//! Paths, as text.

use super::{Given, exactly, text_of};
use crate::bake::value::Value;

/// The last part of a path.
pub(super) fn basename(arguments: &[Value]) -> Given {
    exactly::<1>(arguments)?;
    let path = text_of(arguments, 0)?;
    let trimmed = path.trim_end_matches('/');
    Ok(Value::text(match (path.as_str(), trimmed) {
        ("", _) => ".",
        (_, "") => "/",
        (_, path) => path.rsplit('/').next().unwrap_or(path),
    }))
}

/// All but the last part of a path.
pub(super) fn dirname(arguments: &[Value]) -> Given {
    exactly::<1>(arguments)?;
    let path = text_of(arguments, 0)?;
    Ok(Value::text(path.rfind('/').map_or_else(|| ".".to_owned(), |slash| crate::bake::paths::clean(&path[..=slash]))))
}

/// The user's home directory.
pub(super) fn homedir(arguments: &[Value]) -> Given {
    exactly::<0>(arguments)?;
    let home = crate::env::Environment::read().home();
    Ok(Value::text(home.map_or_else(|| "/".to_owned(), |home| home.display().to_string())))
}
