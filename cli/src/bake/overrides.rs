//! `--set TARGET.KEY=VALUE`, and what other flags of `wharf bake` mean in the same words.

use std::collections::BTreeMap;

use super::entries::{Entry, EntryKind, without_doubles};
use super::glob;
use super::place::{Complaint, Result};
use super::resolve::Said;
use super::settings::{self, Kind, RESOURCES, Setting, Settings};
use crate::programs::PolicyFlag;

/// What is said of targets, in order.
#[derive(Debug, Default)]
pub struct Overrides {
    by_target: BTreeMap<String, Vec<Override>>,
    /// What `--set *.entitlements=` grants: saying it there is saying it on the command line.
    pub granted: Vec<String>,
}

#[derive(Clone, Debug)]
struct Override {
    key: &'static str,
    sub: Option<String>,
    values: Vec<String>,
    /// Whether the values come after those that are there.
    append: bool,
    /// Whether those that are there go.
    clear: bool,
}

/// Other names of keys.
const ALIASES: [(&str, &str); 10] = [
    ("annotation", "annotations"),
    ("arg", "args"),
    ("entitlement", "entitlements"),
    ("extra-host", "extra-hosts"),
    ("label", "labels"),
    ("platform", "platforms"),
    ("resource", "resources"),
    ("tag", "tags"),
    ("ulimit", "ulimits"),
    ("secrets", "secret"),
];

impl Overrides {
    /// Reads them. `lookup` is the environment, from which `--set app.args.NAME` takes a value.
    pub fn parse(texts: &[String], targets: &[Said], lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let mut all = Self::default();
        for text in texts {
            all.add(text, targets, lookup)?;
        }
        Ok(all)
    }

    fn add(&mut self, text: &str, targets: &[Said], lookup: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        let wrong = |what: String| Complaint::general(format!("--set {text}: {what}"));
        let (left, value) = text.split_once('=').map_or((text, None), |(left, value)| (left, Some(value)));
        let (path, append) = left.strip_suffix('+').map_or((left, false), |path| (path, true));
        let mut words = path.splitn(3, '.');
        let (pattern, key, sub) = (words.next().unwrap_or_default(), words.next(), words.next());
        let Some(key) = key else { return Err(wrong("write TARGET.KEY=VALUE".to_owned())) };
        let key = ALIASES.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, name)| *name);
        let known = || {
            settings::names()
                .filter(|name| !matches!(*name, "inherits" | "description" | "dockerfile-inline"))
                .chain(["push", "load"])
        };
        let Some(key) = known().find(|name| *name == key) else {
            return Err(wrong(format!("there is no key `{key}` to set")).nearest(key, known()));
        };
        let kind = settings::kind(key).unwrap_or(Kind::Flag);
        match (kind, sub) {
            (Kind::Map, None) => return Err(wrong(format!("write TARGET.{key}.NAME=VALUE"))),
            (Kind::Map, Some(_)) | (_, None) => {}
            (Kind::Entries(EntryKind::Secret), Some(_)) if !append => {}
            (_, Some(_)) => return Err(wrong(format!("`{key}` has nothing below it"))),
        }
        if append && matches!(kind, Kind::Text | Kind::Flag | Kind::Map) {
            return Err(wrong(format!("`{key}` is one value, to which nothing can be added")));
        }
        if key == "resources" && !sub.is_some_and(|name| RESOURCES.contains(&name)) {
            let name = sub.unwrap_or_default();
            return Err(wrong(format!("there is no resource `{name}`")).nearest(name, RESOURCES));
        }
        let value = match (value, key, sub) {
            (Some(value), ..) => value.to_owned(),
            (None, "args", Some(name)) => match lookup(name) {
                Some(value) => value,
                None => return Ok(()),
            },
            (None, ..) => return Err(wrong("write TARGET.KEY=VALUE".to_owned())),
        };
        for name in expand(pattern, targets).map_err(|complaint| {
            wrong(complaint.title().to_owned()).nearest(pattern, targets.iter().map(|one| one.name.as_str()))
        })? {
            let list = self.by_target.entry(name).or_default();
            let at = list.iter().position(|one| one.key == key && one.sub.as_deref() == sub).unwrap_or_else(|| {
                let sub = sub.map(str::to_owned);
                list.push(Override { key, sub, values: Vec::new(), append: false, clear: false });
                list.len() - 1
            });
            list[at].say(
                &value,
                append,
                matches!(kind, Kind::List | Kind::Entries(_) | Kind::Policies) && sub.is_none(),
            );
        }
        Ok(())
    }

    /// Changes a target's settings.
    pub fn apply(&mut self, target: &str, settings: &mut Settings) -> Result<()> {
        let Some(list) = self.by_target.get(target) else { return Ok(()) };
        // Single secrets are changed after all of them are there.
        let (last, first): (Vec<_>, Vec<_>) = list.iter().partition(|one| one.key == "secret" && one.sub.is_some());
        for one in first.into_iter().chain(last) {
            one.apply(settings).map_err(|reason| {
                let sub = one.sub.as_ref().map(|sub| format!(".{sub}")).unwrap_or_default();
                Complaint::general(format!("--set {target}.{}{sub}: {reason}", one.key))
            })?;
            if one.key == "entitlements" {
                self.granted.extend(one.values.iter().cloned());
            }
        }
        Ok(())
    }
}

/// The targets that a pattern means.
fn expand(pattern: &str, targets: &[Said]) -> Result<Vec<String>> {
    if let Some(target) = targets.iter().find(|target| target.name == pattern) {
        return Ok(vec![target.name.clone()]);
    }
    let names: Vec<String> = targets
        .iter()
        .filter(|target| glob::matches(pattern, &target.name))
        .map(|target| target.name.clone())
        .collect();
    if names.is_empty() { Err(Complaint::general(format!("no target matches `{pattern}`"))) } else { Ok(names) }
}

impl Override {
    fn say(&mut self, value: &str, append: bool, list: bool) {
        if !list {
            self.values = vec![value.to_owned()];
            return;
        }
        if !append && value.is_empty() {
            self.clear = true;
            self.values.clear();
        } else {
            self.values.push(value.to_owned());
        }
        self.append = append && !self.clear;
    }

    fn value(&self) -> &str {
        self.values.first().map_or("", String::as_str)
    }

    fn apply(&self, settings: &mut Settings) -> std::result::Result<(), String> {
        match (settings::kind(self.key), &self.sub) {
            (None, _) => {
                let on = truth(self.value())?;
                if self.key == "push" { push(settings, on) } else { load(settings, on) }
            }
            (Some(Kind::Text), _) => {
                // The two names of a method.
                let value = if self.key == "call" && self.value() == "check" { "lint" } else { self.value() };
                settings.set(self.key, Setting::Text(value.to_owned()));
            }
            (Some(Kind::Flag), _) => settings.set(self.key, Setting::Flag(truth(self.value())?)),
            (Some(Kind::Map), Some(name)) => {
                settings.put(self.key, name, self.value());
            }
            (Some(Kind::List), _) => {
                // These are added to in any case, unless they are emptied first.
                let added = matches!(self.key, "annotations" | "entitlements");
                if if added { self.clear } else { !self.append } {
                    settings.set(self.key, Setting::List(Vec::new()));
                }
                settings.extend(self.key, self.values.iter().cloned());
            }
            (Some(Kind::Entries(kind)), Some(id)) => change_secret(settings, kind, (id, self.value()))?,
            (Some(Kind::Entries(kind)), None) => {
                let mut entries = Vec::new();
                if self.append || (kind == EntryKind::Attest && !self.clear) {
                    entries.extend(settings.entries(self.key).iter().cloned());
                }
                for text in self.values.iter().filter(|text| !text.is_empty()) {
                    entries.extend(Entry::read(kind, text)?);
                }
                settings.set(self.key, Setting::Entries(without_doubles(kind, entries)));
            }
            (Some(Kind::Policies), _) => {
                if !self.append {
                    settings.set(self.key, Setting::List(Vec::new()));
                }
                let texts = self.values.iter().filter(|text| !text.is_empty());
                let read = texts.map(|text| PolicyFlag::parse(text).map(|flag| flag.text()));
                settings.extend(self.key, read.collect::<std::result::Result<Vec<_>, _>>()?);
            }
            (Some(Kind::Map), None) => {}
        }
        Ok(())
    }
}

fn truth(text: &str) -> std::result::Result<bool, String> {
    wharf_builder::settings::truth(text).ok_or_else(|| format!("`{text}` is not true or false"))
}

/// `--set app.secret.ID=src=FILE` says where a secret comes from that the file has.
fn change_secret(
    settings: &mut Settings,
    kind: EntryKind,
    (id, value): (&str, &str),
) -> std::result::Result<(), String> {
    let read = Entry::read(kind, value)?.into_iter().next().unwrap_or_default();
    if read.get("id").is_some_and(|other| other != id) {
        return Err(format!("the secret is {id}, and not {}", read.get("id").unwrap_or_default()));
    }
    let mut entries = settings.entries("secret").to_vec();
    let Some(entry) = entries.iter_mut().find(|entry| entry.get("id") == Some(id)) else {
        return Err(format!("the target has no secret {id} to change"));
    };
    entry.fields = read.fields;
    entry.fields.insert("id".to_owned(), id.to_owned());
    settings.set("secret", Setting::Entries(entries));
    Ok(())
}

fn plain(kind: &str) -> Entry {
    Entry { fields: [("type".to_owned(), kind.to_owned())].into(), paths: Vec::new() }
}

/// `--push`: images are pushed; a target whose outputs are files stays as it is.
fn push(settings: &mut Settings, on: bool) {
    let mut outputs = settings.entries("output").to_vec();
    let kind = |entry: &Entry| entry.get("type").unwrap_or_default().to_owned();
    if on {
        let add = outputs.iter().all(|output| kind(output) == "docker");
        for output in outputs.iter_mut().filter(|output| kind(output) == "image") {
            output.fields.insert("push".to_owned(), "true".to_owned());
        }
        if add {
            let mut image = plain("image");
            image.fields.insert("push".to_owned(), "true".to_owned());
            outputs.push(image);
        }
    } else {
        outputs.retain(|output| kind(output) != "registry");
        for output in outputs.iter_mut().filter(|output| kind(output) == "image") {
            output.fields.insert("push".to_owned(), "false".to_owned());
        }
    }
    settings.set("output", Setting::Entries(outputs));
}

/// `--load`: images go to the engine; a target whose outputs are files stays as it is.
fn load(settings: &mut Settings, on: bool) {
    if !on {
        return;
    }
    let mut outputs = settings.entries("output").to_vec();
    for output in &outputs {
        match output.get("type").unwrap_or_default() {
            "docker" if output.get("dest").is_none_or(str::is_empty) => return,
            "docker" | "image" | "registry" | "oci" => {}
            _ => return,
        }
    }
    outputs.push(plain("docker"));
    settings.set("output", Setting::Entries(outputs));
}
