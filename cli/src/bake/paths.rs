//! Paths as text: without `.`, `..` and doubled slashes, whatever the disk has.

/// The shortest way to write a path; `.` for an empty one.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// `path` seen from where `directory` is relative to.
pub fn join(directory: &str, path: &str) -> String {
    if directory.is_empty() || path.starts_with('/') { clean(path) } else { clean(&format!("{directory}/{path}")) }
}

/// The directory a path is in.
pub fn parent(path: &str) -> String {
    clean(&format!("{path}/.."))
}

#[cfg(test)]
mod tests {
    use super::{clean, join, parent};

    #[test]
    fn paths_are_cleaned() {
        for (path, expected) in
            [("", "."), ("./a//b/", "a/b"), ("a/../b", "b"), ("../a/..", ".."), ("/../a", "/a"), ("/", "/"), (".", ".")]
        {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    #[test]
    fn paths_follow_each_other() {
        for (directory, path, expected) in [
            ("", "./a", "a"),
            ("", "", "."),
            ("a/b", "../c", "a/c"),
            ("a", "/c", "/c"),
            ("/a", "b", "/a/b"),
            ("..", ".", ".."),
        ] {
            assert_eq!(join(directory, path), expected, "{directory} {path}");
        }
        for (path, directory) in [("a/b", "a"), ("a", "."), ("../a", ".."), ("/a", "/"), ("..", "../..")] {
            assert_eq!(parent(path), directory, "{path}");
        }
    }
}
