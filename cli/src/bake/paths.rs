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

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn paths_are_cleaned() {
        for (path, expected) in
            [("", "."), ("./a//b/", "a/b"), ("a/../b", "b"), ("../a/..", ".."), ("/../a", "/a"), ("/", "/"), (".", ".")]
        {
            assert_eq!(clean(path), expected, "{path}");
        }
    }
}
