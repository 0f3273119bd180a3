//! Which files make a definition, and what each is written in.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::place::BakeFile;
use crate::failure::Failure;

/// What is looked for where the user names nothing, in this order: later ones come over earlier ones.
const DEFAULTS: [&str; 8] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "docker-bake.json",
    "docker-bake.hcl",
    "docker-bake.override.json",
    "docker-bake.override.hcl",
];

/// No definition is longer than this.
const LONGEST: u64 = 16 << 20;

/// What a file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// A compose file.
    Compose,
    /// HCL.
    Hcl,
    /// The same in JSON.
    Json,
}

/// By its name, or by what is in it.
pub fn syntax(file: &BakeFile) -> Syntax {
    let name = file.name.to_lowercase();
    let ends = |end: &str| name.ends_with(end);
    if ends(".yaml") || ends(".yml") {
        Syntax::Compose
    } else if ends(".json") {
        Syntax::Json
    } else if ends(".hcl") {
        Syntax::Hcl
    } else if file.text.trim_start().starts_with('{') {
        Syntax::Json
    } else if super::as_hcl(file).is_none() && file.text.lines().any(|line| line.starts_with("services:")) {
        Syntax::Compose
    } else {
        Syntax::Hcl
    }
}

/// Reads the files that are named, or those that are there. In `place`, but for those that are said to be of the user's
/// directory.
pub fn read(names: &[String], place: &Path) -> Result<Vec<BakeFile>, Failure> {
    if !names.is_empty() {
        return names.iter().map(|name| read_one(name, place)).collect();
    }
    let there: Vec<&str> = DEFAULTS.into_iter().filter(|name| place.join(name).exists()).collect();
    if there.is_empty() {
        return Err(Failure::usage("there is no bake file here")
            .hint("write docker-bake.hcl, compose.yaml or docker-bake.json, or name another one with -f FILE"));
    }
    there.into_iter().map(|name| read_one(name, place)).collect()
}

fn read_one(name: &str, place: &Path) -> Result<BakeFile, Failure> {
    let (name, path) = match name.strip_prefix("cwd://") {
        Some(name) => (name, Path::new(name).to_path_buf()),
        None => (name, place.join(name)),
    };
    if name == "-" {
        let mut text = String::new();
        let read = std::io::stdin().take(LONGEST).read_to_string(&mut text);
        read.map_err(|error| Failure::new("could not read a bake file from standard input").because(error))?;
        return Ok(BakeFile { name: "stdin".to_owned(), text });
    }
    let text = crate::builds::read_text(&path, "the bake file")?;
    Ok(BakeFile { name: name.to_owned(), text: without_mark(text) })
}

/// Some editors begin a file with a byte-order mark.
fn without_mark(text: String) -> String {
    text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)
}

/// Where the files are that files of a definition name.
pub struct Beside {
    /// What their paths are relative to; none where a definition is one file alone.
    pub directory: Option<PathBuf>,
    /// Whether no way may lead out of that: somebody else wrote the definition.
    pub confined: bool,
}

impl Beside {
    /// Reads one. The error says why not.
    pub fn read(&self, path: &str) -> std::result::Result<String, String> {
        let Some(directory) = &self.directory else {
            return Err("the definition is one file alone".to_owned());
        };
        let found = directory.join(path).canonicalize().map_err(|error| error.to_string())?;
        if self.confined && !directory.canonicalize().is_ok_and(|root| found.starts_with(root)) {
            return Err("it is not among the definition's files".to_owned());
        }
        let mut text = String::new();
        let file = std::fs::File::open(&found).map_err(|error| error.to_string())?;
        file.take(LONGEST).read_to_string(&mut text).map_err(|error| error.to_string())?;
        Ok(without_mark(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_leads_out_of_a_definition_of_somebody_else() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(outer.path().join("secret"), "secret").unwrap();
        std::fs::write(root.join("sub/a"), "a").unwrap();
        std::os::unix::fs::symlink("../secret", root.join("link")).unwrap();
        let (own, other) = [false, true].map(|confined| Beside { directory: Some(root.clone()), confined }).into();
        let absolute = outer.path().join("secret").display().to_string();
        for path in ["../secret", "link", "sub/../../secret", &absolute] {
            assert_eq!(own.read(path).as_deref(), Ok("secret"), "{path}");
            assert_eq!(other.read(path).unwrap_err(), "it is not among the definition's files", "{path}");
        }
        assert_eq!(other.read("sub/../sub/a").as_deref(), Ok("a"));
        assert!(other.read("none").unwrap_err().contains("No such file"));
        let alone = Beside { directory: None, confined: true };
        assert_eq!(alone.read("sub/a").unwrap_err(), "the definition is one file alone");
    }

    #[test]
    fn files_are_told_apart() {
        let of = |name: &str, text: &str| syntax(&BakeFile { name: name.to_owned(), text: text.to_owned() });
        assert_eq!(of("a.yml", ""), Syntax::Compose);
        assert_eq!(of("a.JSON", ""), Syntax::Json);
        assert_eq!(of("stdin", " {\"target\": {}}"), Syntax::Json);
        assert_eq!(of("stdin", "services:\n  a:\n    build: .\n"), Syntax::Compose);
        assert_eq!(of("bakefile", "target \"a\" {}"), Syntax::Hcl);
    }
}
