//! A list of variables in the order in which they were first set.

/// Variables by name; setting one again keeps its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Env(Vec<(String, String)>);

impl Env {
    /// The variables of an image, `NAME=value`.
    pub(crate) fn of(lines: &[String]) -> Self {
        let mut env = Self::default();
        for line in lines {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            env.set(name, value);
        }
        env
    }

    /// The value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Sets `name`.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }
}

/// Sets a variable in an image's list, keeping its place.
pub(crate) fn set_line(lines: &mut Vec<String>, name: &str, value: &str) {
    let line = format!("{name}={value}");
    match lines.iter_mut().find(|old| old.split_once('=').map_or(old.as_str(), |(known, _)| known) == name) {
        Some(old) => *old = line,
        None => lines.push(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_set_again_keeps_its_place() {
        let mut lines = vec!["A=1".to_owned(), "B=2".to_owned()];
        set_line(&mut lines, "A", "3");
        set_line(&mut lines, "C", "");
        assert_eq!(lines, ["A=3", "B=2", "C="]);
        let env = Env::of(&lines);
        assert_eq!(env.names().collect::<Vec<_>>(), ["A", "B", "C"]);
        assert_eq!((env.get("A"), env.get("C"), env.get("D")), (Some("3"), Some(""), None));
    }
}
