//! The configuration file, `config.toml`: registries and defaults. Unknown keys are errors that name the key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::env::Environment;
use crate::failure::Failure;

/// The whole file. See `docs/configuration.md`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// Directory of the store.
    pub store: Option<String>,
    /// `[serve]`
    pub serve: Serve,
    /// `[registries."host"]`
    pub registries: BTreeMap<String, Registry>,
    /// `[aliases]`: a short name and what it stands for, `debian = "registry.example/mirror/debian"`.
    pub aliases: BTreeMap<String, String>,
}

/// `[serve]`: what `wharf serve` does; its flags win.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Serve {
    /// Address to listen on.
    pub listen: Option<String>,
    /// Certificate chain, PEM.
    pub tls_cert: Option<PathBuf>,
    /// Private key, PEM.
    pub tls_key: Option<PathBuf>,
    /// htpasswd file with bcrypt entries.
    pub htpasswd: Option<PathBuf>,
    /// Whether reading needs no login although a htpasswd file is set.
    pub anonymous_pull: Option<bool>,
    /// Whether deleting is allowed.
    pub delete: Option<bool>,
    /// Largest manifest accepted, in bytes.
    pub max_manifest_size: Option<u64>,
    /// Seconds after which an upload that nobody continues is forgotten.
    pub upload_expiry: Option<u64>,
    /// Seconds between two collections of garbage; 0 is never.
    pub gc_interval: Option<u64>,
    /// Seconds that garbage collection leaves alone what was lately uploaded or asked for.
    pub gc_grace: Option<u64>,
    /// Seconds that transfers under way are given at shutdown.
    pub drain_timeout: Option<u64>,
}

/// `[registries."host"]`: how one registry is reached.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Registry {
    /// Plain HTTP, or TLS with a certificate nobody vouches for.
    pub insecure: bool,
    /// Other places that serve the same images, tried in order before the registry itself: `https://mirror/prefix`.
    pub mirrors: Vec<String>,
    /// Extra certificate authorities, PEM.
    pub ca: Vec<PathBuf>,
}

impl Config {
    /// Reads the file the user named, or the one at the usual place when it is there.
    pub fn load(named: Option<&Path>, environment: &Environment, root: bool) -> Result<Self, Failure> {
        let named = named.map(Path::to_path_buf).or_else(|| environment.config());
        let usual = if root {
            Some(PathBuf::from("/etc/wharf/config.toml"))
        } else {
            environment.config_home().map(|home| home.join("wharf/config.toml"))
        };
        let (path, required) = match (named, usual) {
            (Some(path), _) => (path, true),
            (None, Some(path)) => (path, false),
            (None, None) => return Ok(Self::default()),
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => Ok(Self::default()),
            Err(error) => {
                Err(Failure::new(format!("could not read the configuration {}", path.display())).because(error))
            }
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, Failure> {
        toml::from_str(text).map_err(|error| {
            Failure::new(format!("{} is not a valid configuration\n{}", path.display(), error.to_string().trim_end()))
                .hint("docs/configuration.md lists every key")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_reads() {
        let text = r#"
            store = "/srv/wharf"
            [serve]
            listen = "0.0.0.0:5000"
            anonymous-pull = true
            [registries."docker.io"]
            mirrors = ["https://mirror.example"]
            [registries."10.0.0.5:5000"]
            insecure = true
            [aliases]
            debian = "registry.example/mirror/debian"
        "#;
        let config = Config::parse(text, Path::new("config.toml")).unwrap();
        assert!(config.registries["10.0.0.5:5000"].insecure);
        assert_eq!(config.serve.anonymous_pull, Some(true));
    }

    /// The keys of a table, as the error about a key that is none lists them.
    fn keys(table: &str) -> Vec<String> {
        let failure = Config::parse(&format!("{table}\nno-such-key = 1\n"), Path::new("config.toml")).unwrap_err();
        let text = failure.to_string();
        let listed = text.split_once("expected one of ").map(|(_, listed)| listed.split_once('\n').unwrap().0);
        let names = listed.unwrap_or_else(|| panic!("{text}")).split(", ");
        names.map(|name| name.trim_matches('`').to_owned()).collect()
    }

    #[test]
    fn the_page_lists_every_key_and_no_other() {
        let page = include_str!("../../docs/configuration.md");
        let key = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
        let rows = |section: &str| section.lines().filter_map(key).collect::<Vec<_>>();
        let sections: Vec<&str> = page.split("\n## ").collect();
        let tables = ["", "[serve]", "[registries.\"x\"]"];
        for (heading, table) in ["Top level", "`[serve]`", "`[registries."].into_iter().zip(tables) {
            let section = sections.iter().find(|section| section.starts_with(heading));
            assert_eq!(rows(section.unwrap_or_else(|| panic!("{heading}"))), keys(table), "{heading}");
        }
    }

    #[test]
    fn the_example_of_the_page_reads() {
        let page = include_str!("../../docs/configuration.md");
        let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let config = Config::parse(example, Path::new("configuration.md")).unwrap();
        assert!(config.store.is_some() && config.serve.htpasswd.is_some() && !config.aliases.is_empty());
    }

    #[test]
    fn an_unknown_key_is_named() {
        let failure = Config::parse("[serve]\nlisen = \"x\"\n", Path::new("config.toml")).unwrap_err();
        let text = failure.to_string();
        assert!(text.contains("lisen") && text.contains("config.toml"), "{text}");
    }
}
