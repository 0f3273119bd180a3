//! Definitions of repositories and archives: their contexts are theirs too, and files of this machine are asked for.
//!
//! Whoever wrote such a definition is not whoever runs it. What it may read and write without being granted more is the
//! directory it is run in.

use std::path::{Path, PathBuf};

use wharf_builder::git::GitSource;

use super::config::Target;
use super::entries::Entry;
use super::order::{context, remote};
use super::paths::clean;
use super::select::Selection;
use super::settings::Setting;
use crate::failure::Failure;
use crate::programs::PolicyFlag;

/// Where a definition comes from.
pub struct Elsewhere {
    /// As the user names it.
    pub url: String,
    /// Its files, fetched; none when it is one file alone.
    pub directory: Option<PathBuf>,
}

impl Elsewhere {
    /// Makes contexts that the definition names mean its own files.
    pub fn settle(&self, selection: &mut Selection) -> Result<(), Failure> {
        for target in selection.targets.values_mut() {
            let text = target.settings.text("context").unwrap_or(".").to_owned();
            if local(&text) {
                let path = self.inside(&text).map_err(|failure| failure.of(&format!("target {}", target.name)))?;
                target.settings.set("context", Setting::Text(self.address(&text)));
                target.own_context = Some(path);
            } else {
                target.settings.set("context", Setting::Text(context(&text)));
            }
            for (name, value) in target.settings.map("contexts").cloned().unwrap_or_default() {
                let elsewhere =
                    ["target:", "docker-image://", "oci-layout://"].iter().any(|kind| value.starts_with(kind));
                if local(&value) && !elsewhere {
                    let path = self.inside(&value).map_err(|failure| failure.of(&format!("target {}", target.name)))?;
                    target.own_contexts.insert(name, path.display().to_string());
                }
            }
        }
        Ok(())
    }

    /// A directory among the definition's files. No way leads out of them.
    fn inside(&self, text: &str) -> Result<PathBuf, Failure> {
        let Some(directory) = &self.directory else {
            return Err(Failure::usage(format!("{} is one file, and has no directory {text}", self.url))
                .hint("cwd://DIR is a directory of this machine"));
        };
        let leaves = || Failure::usage(format!("the context {text} leads out of {}", self.url));
        let path = directory.join(clean(&format!("/{text}")).trim_start_matches('/'));
        let (found, root) = (path.canonicalize(), directory.canonicalize());
        match (found, root) {
            (Ok(found), Ok(root)) if found.starts_with(&root) => Ok(found),
            (Ok(_), Ok(_)) => Err(leaves()),
            (Err(error), _) | (_, Err(error)) => {
                Err(Failure::usage(format!("{} has no directory {text}", self.url)).because(error))
            }
        }
    }

    /// The same as Docker names it: a directory of a repository has an address of its own.
    fn address(&self, text: &str) -> String {
        let inner = clean(&format!("/{text}"));
        let inner = inner.trim_start_matches('/');
        if inner.is_empty() || GitSource::parse(&self.url).is_none() {
            return self.url.clone();
        }
        let (base, fragment) = self.url.split_once('#').unwrap_or((&self.url, ""));
        let (reference, outer) = fragment.split_once(':').unwrap_or((fragment, ""));
        let inner =
            if outer.is_empty() { inner.to_owned() } else { format!("{}/{inner}", outer.trim_end_matches('/')) };
        format!("{base}#{reference}:{inner}")
    }
}

/// Whether a context is a path that says nothing of where it is.
fn local(text: &str) -> bool {
    !text.starts_with("cwd://") && !remote(text)
}

/// Complains about files of this machine that nobody granted: `--allow fs=DIR`, `fs.read=DIR`, `fs.write=DIR` and `ssh`.
pub fn check_files(target: &Target, allow: &[String]) -> Result<(), Failure> {
    if !target.settings.entries("ssh").is_empty() && !granted(allow, "ssh").any(|_| true) {
        return Err(
            Failure::usage("it asks for an SSH agent").hint("grant it if you trust the definition: --allow ssh")
        );
    }
    let allowed = |path: &str, how: &str| {
        let mut places = granted(allow, "fs").chain(granted(allow, how)).chain(["."]);
        let path = resolved(Path::new(path));
        places.any(|place| place == "*" || path.starts_with(resolved(Path::new(place))))
    };
    for (path, how) in files(target) {
        if path != "-" && !allowed(&path, how) {
            return Err(Failure::usage(format!("it asks for {path}, which is not in the directory it is run in"))
                .hint(format!("grant it if you trust the definition: --allow {how}={path}")));
        }
    }
    Ok(())
}

fn granted<'a>(allow: &'a [String], what: &'a str) -> impl Iterator<Item = &'a str> {
    allow.iter().filter_map(move |text| {
        let (name, value) = text.split_once('=').unwrap_or((text, "*"));
        (name == what).then_some(value)
    })
}

/// Where a path really leads. Of one that is not there yet, its directory.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut rest = Vec::new();
    let mut existing = absolute.as_path();
    loop {
        match (existing.canonicalize(), existing.parent(), existing.file_name()) {
            (Ok(found), ..) => return rest.iter().rev().fold(found, |path: PathBuf, name| path.join(name)),
            (Err(_), Some(parent), Some(name)) => {
                rest.push(name);
                existing = parent;
            }
            (Err(_), ..) => return absolute,
        }
    }
}

/// The files of this machine that a target names, and what it does with them.
fn files(target: &Target) -> Vec<(String, &'static str)> {
    let settings = &target.settings;
    let mut files: Vec<(String, &'static str)> = Vec::new();
    let mut add =
        |path: Option<&str>, how| files.extend(path.filter(|path| !path.is_empty()).map(|path| (path.to_owned(), how)));
    for secret in settings.entries("secret") {
        // Without a source, a secret may be a file of its own name.
        let named = if secret.get("env").is_none() { secret.get("id") } else { None };
        add(secret.get("src").or(named), "fs.read");
    }
    for key in settings.entries("ssh") {
        key.paths.iter().for_each(|path| add(Some(path), "fs.read"));
    }
    let of_kind = |entry: &&Entry| entry.get("type") == Some("local");
    settings.entries("cache-from").iter().filter(of_kind).for_each(|entry| add(entry.get("src"), "fs.read"));
    settings.entries("cache-to").iter().filter(of_kind).for_each(|entry| add(entry.get("dest"), "fs.write"));
    settings.entries("output").iter().for_each(|entry| add(entry.get("dest"), "fs.write"));
    let context = settings.text("context").unwrap_or(".");
    if target.own_context.is_none() && !remote(context) {
        add(Some(context), "fs.read");
    }
    for (name, value) in settings.map("contexts").into_iter().flatten() {
        let path = value.strip_prefix("cwd://").or_else(|| value.strip_prefix("oci-layout://"));
        if !target.own_contexts.contains_key(name) {
            add(path.map(|path| path.split(['@']).next().unwrap_or(path)), "fs.read");
        }
    }
    for policy in settings.list("policy") {
        let named = PolicyFlag::parse(policy).unwrap_or_default().files;
        // Others are in the context, which they do not lead out of.
        for file in named.iter().filter(|file| file.starts_with('/') || file.starts_with("cwd://")) {
            add(Some(file.strip_prefix("cwd://").unwrap_or(file)), "fs.read");
        }
    }
    let dockerfile = settings.text("dockerfile").unwrap_or_default();
    add(dockerfile.strip_prefix("cwd://"), "fs.read");
    // Else it is in the context; from elsewhere it may not lead out of that.
    if dockerfile.starts_with('/') || clean(dockerfile).starts_with("..") {
        add(Some(dockerfile), "fs.read");
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_repositories_have_addresses() {
        for (url, context, address) in [
            ("https://h/r.git", ".", "https://h/r.git"),
            ("https://h/r.git", "./a", "https://h/r.git#:a"),
            ("https://h/r.git#main", "a/b", "https://h/r.git#main:a/b"),
            ("https://h/r.git#main:x", "a", "https://h/r.git#main:x/a"),
            ("https://h/a.tar.gz", "a", "https://h/a.tar.gz"),
        ] {
            let elsewhere = Elsewhere { url: url.to_owned(), directory: None };
            assert_eq!(elsewhere.address(context), address);
        }
    }

    #[test]
    fn files_of_this_machine_are_asked_for() {
        let target = |setting: &str, entry: &str| {
            let kind = match setting {
                "secret" => super::super::entries::EntryKind::Secret,
                "ssh" => super::super::entries::EntryKind::Ssh,
                _ => super::super::entries::EntryKind::Output,
            };
            let mut settings = super::super::settings::Settings::default();
            settings.set(setting, Setting::Entries(Entry::read(kind, entry).unwrap()));
            let (places, own_contexts) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
            Target { name: "t".to_owned(), settings, places, linked: false, own_context: None, own_contexts }
        };
        let fine = |setting: &str, entry: &str, allow: &[&str]| {
            let allow: Vec<String> = allow.iter().map(|text| (*text).to_owned()).collect();
            check_files(&target(setting, entry), &allow).is_ok()
        };
        assert!(fine("secret", "id=a,src=here/b", &[]) && fine("secret", "id=a,env=B", &[]));
        assert!(!fine("secret", "id=a,src=/etc/passwd", &[]) && !fine("secret", "id=/etc/passwd", &[]));
        assert!(!fine("secret", "id=a,src=../b", &[]));
        assert!(
            fine("secret", "id=a,src=/etc/passwd", &["fs.read=/etc"])
                && fine("secret", "id=a,src=/etc/passwd", &["fs"])
        );
        assert!(!fine("secret", "id=a,src=/etc/passwd", &["fs.write=/etc"]));
        assert!(!fine("output", "type=local,dest=/out", &[]) && fine("output", "type=local,dest=/out", &["fs=/out"]));
        assert!(!fine("ssh", "default", &[]) && fine("ssh", "default", &["ssh"]));
    }
}
