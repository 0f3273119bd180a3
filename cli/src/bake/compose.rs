//! Compose files: services that are built are targets, and all of them together the group `default`.
//!
//! Only what says how to build is looked at: `build`, `image`, and what variables in it mean. What several files say together
//! is found out first ([`model`]).

mod environment;
mod model;

use std::collections::BTreeMap;

use super::config::{Config, Group};
use super::entries::{Entry, EntryKind, without_doubles};
use super::files::Beside;
use super::place::{BakeFile, Complaint, Place, Result};
use super::resolve::Said;
use super::settings::{Setting, Settings};
use super::yaml::{Node, Yaml};
use environment::Environment;
use model::Reader;

/// What a variable is worth.
type Lookup<'l> = &'l dyn Fn(&str) -> Option<String>;

/// What `build` may say.
const FIELDS: [&str; 24] = [
    "additional_contexts",
    "args",
    "cache_from",
    "cache_to",
    "context",
    "dockerfile",
    "dockerfile_inline",
    "entitlements",
    "extra_hosts",
    "isolation",
    "labels",
    "network",
    "no_cache",
    "platforms",
    "privileged",
    "provenance",
    "pull",
    "sbom",
    "secrets",
    "shm_size",
    "ssh",
    "tags",
    "target",
    "ulimits",
];

/// What `x-bake` may say.
const EXTENSION: [&str; 11] = [
    "tags",
    "cache-from",
    "cache-to",
    "secret",
    "ssh",
    "platforms",
    "output",
    "pull",
    "no-cache",
    "no-cache-filter",
    "contexts",
];

/// Adds the services of the files of these numbers, and of those that they name, which are added to `files`.
pub fn add(
    config: &mut Config,
    (files, beside): (&mut Vec<BakeFile>, &Beside),
    which: &[usize],
    lookup: Lookup<'_>,
) -> Result<()> {
    let whole = Reader { files, beside }.whole(which, lookup)?;
    let Some(whole) = whole else { return Ok(()) };
    let mut names = Vec::new();
    let services =
        whole.get("services").ok_or_else(|| Complaint::at(whole.place, "this compose file has no `services`"))?;
    for (name, place, service) in services.members() {
        let environment = Environment::of(service, beside, lookup)?;
        let Some(build) = service.get("build").filter(|build| !matches!(build.what, Yaml::Null)) else { continue };
        let target = name.replace('.', "_");
        let service = Service { whole: service, build, secrets: whole.get("secrets"), environment };
        let said = service.target(&target, *place)?;
        names.push(target);
        config.add_target(said);
    }
    names.sort();
    config.groups.push(Group { name: "default".to_owned(), description: String::new(), targets: names, place: None });
    Ok(())
}

/// `NAME=VALUE` in a list, or a map. None for a name without a value.
fn pairs(node: &Node) -> Result<Vec<(String, Option<String>)>> {
    let wrong =
        |node: &Node| Complaint::at(node.place, format!("this is {}, and is to be a single value", node.kind()));
    match &node.what {
        Yaml::Null => Ok(Vec::new()),
        Yaml::Map(members) => {
            let pair = |(name, _, node): &(String, Place, Node)| match &node.what {
                Yaml::Null => Ok((name.clone(), None)),
                _ => Ok((name.clone(), Some(node.text().ok_or_else(|| wrong(node))?))),
            };
            members.iter().map(pair).collect()
        }
        Yaml::List(nodes) => {
            let pair = |node: &Node| {
                let text = node.text().ok_or_else(|| wrong(node))?;
                Ok(match text.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (text, None),
                })
            };
            nodes.iter().map(pair).collect()
        }
        Yaml::Bool(_) | Yaml::Text(_) => {
            Err(Complaint::at(node.place, format!("this is {}, and is to be a map or a list", node.kind())))
        }
    }
}

fn list(node: &Node) -> Result<Vec<String>> {
    let wrong =
        |node: &Node| Complaint::at(node.place, format!("this is {}, and is to be a single value", node.kind()));
    match &node.what {
        Yaml::Null => Ok(Vec::new()),
        Yaml::List(nodes) => nodes.iter().map(|node| node.text().ok_or_else(|| wrong(node))).collect(),
        Yaml::Bool(_) | Yaml::Text(_) | Yaml::Map(_) => {
            Err(Complaint::at(node.place, format!("this is {}, and is to be a list", node.kind())))
        }
    }
}

/// A list, or words with spaces between them.
fn words(node: &Node) -> Result<Vec<String>> {
    match &node.what {
        Yaml::Text(text) => Ok(text.split_whitespace().map(str::to_owned).collect()),
        Yaml::Null | Yaml::Bool(_) | Yaml::List(_) | Yaml::Map(_) => list(node),
    }
}

fn truth(node: &Node) -> Result<bool> {
    match node.text().as_deref() {
        Some("true" | "1" | "yes" | "on") => Ok(true),
        Some("false" | "0" | "no" | "off") => Ok(false),
        Some(_) | None => Err(Complaint::at(node.place, "this is to be true or false")),
    }
}

struct Service<'s> {
    whole: &'s Node,
    build: &'s Node,
    secrets: Option<&'s Node>,
    environment: Environment<'s>,
}

impl Service<'_> {
    fn target(&self, name: &str, place: Place) -> Result<Said> {
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !name.chars().all(fine) {
            return Err(Complaint::at(place, format!("`{name}` cannot be the name of a target")));
        }
        let mut settings = Settings::default();
        if let Some(context) = self.build.text() {
            settings.set("context", Setting::Text(context));
        } else {
            for (field, at, node) in self.build.members() {
                if !field.starts_with("x-") && !FIELDS.contains(&field.as_str()) {
                    return Err(Complaint::at(*at, format!("`build` has no `{field}`")).nearest(field, FIELDS));
                }
                if !matches!(node.what, Yaml::Null) {
                    self.field(field, node, &mut settings)?;
                }
            }
        }
        if let Some(extension) = self.build.get("x-bake") {
            extend(extension, &mut settings)?;
        }
        let image = self.whole.get("image").and_then(Node::text);
        if let Some(image) = image.filter(|image| !image.is_empty() && settings.list("tags").is_empty()) {
            settings.set("tags", Setting::List(vec![image]));
        }
        let places = super::settings::names().map(|name| (name.to_owned(), self.build.place)).collect();
        Ok(Said { name: name.to_owned(), place, settings, places })
    }

    fn field(&self, field: &str, node: &Node, settings: &mut Settings) -> Result<()> {
        let text = || {
            node.text().ok_or_else(|| {
                Complaint::at(node.place, format!("this is {}, and is to be a single value", node.kind()))
            })
        };
        match field {
            "context" | "dockerfile" | "network" | "target" => settings.set(field, Setting::Text(text()?)),
            "dockerfile_inline" => settings.set("dockerfile-inline", Setting::Text(text()?)),
            "no_cache" | "pull" if truth(node)? => settings.set(&field.replace('_', "-"), Setting::Flag(true)),
            "platforms" | "tags" => settings.set(field, Setting::List(list(node)?)),
            "args" => settings.set("args", Setting::Map(self.arguments(node)?)),
            "labels" => {
                let all = pairs(node)?.into_iter().map(|(name, value)| (name, value.unwrap_or_default()));
                settings.set("labels", Setting::Map(all.collect()));
            }
            "additional_contexts" => settings.set("contexts", Setting::Map(contexts(node)?)),
            "cache_from" | "cache_to" => {
                settings.set(&field.replace('_', "-"), entries(EntryKind::Cache, &list(node)?, node.place)?);
            }
            "extra_hosts" => settings.set("extra-hosts", Setting::Map(hosts(node)?)),
            "ssh" => {
                let all = match node.text() {
                    Some(text) => vec![text],
                    None => pairs(node)?
                        .into_iter()
                        .map(|(id, path)| path.map_or(id.clone(), |path| format!("{id}={path}")))
                        .collect(),
                };
                settings.set("ssh", sorted(entries(EntryKind::Ssh, &all, node.place)?));
            }
            "secrets" => settings.set("secret", self.secrets(node)?),
            "provenance" | "sbom" => {
                let attest = match text()?.as_str() {
                    "true" | "1" => format!("type={field}"),
                    "false" | "0" => format!("type={field},disabled=true"),
                    fields => format!("type={field},{fields}"),
                };
                let mut all = settings.entries("attest").to_vec();
                all.extend(read(EntryKind::Attest, &attest, node.place)?);
                all.sort_by(|left, right| right.get("type").cmp(&left.get("type")));
                settings.set("attest", Setting::Entries(all));
            }
            "shm_size" => settings.set("shm-size", Setting::Text(size(&text()?))),
            "ulimits" => settings.set("ulimits", Setting::List(ulimits(node)?)),
            // These mean nothing to Docker's bake, either.
            _ => {}
        }
        Ok(())
    }

    /// An argument without a value has that of the service's environment, or of the user's.
    fn arguments(&self, node: &Node) -> Result<BTreeMap<String, String>> {
        let resolved = |(name, value): (String, Option<String>)| {
            let value = value.or_else(|| self.environment.value(&name));
            value.map(|value| (name, value))
        };
        Ok(pairs(node)?.into_iter().filter_map(resolved).collect())
    }

    fn secrets(&self, node: &Node) -> Result<Setting> {
        let Yaml::List(nodes) = &node.what else {
            return Err(Complaint::at(node.place, format!("this is {}, and is to be a list", node.kind())));
        };
        let mut entries = Vec::new();
        for node in nodes {
            let name = node.text().or_else(|| node.get("source").and_then(Node::text));
            let name = name.ok_or_else(|| Complaint::at(node.place, "a secret is a name, or a map with `source`"))?;
            let Some(secret) = self.secrets.and_then(|secrets| secrets.get(&name)) else {
                let known = self.secrets.map(Node::members).unwrap_or_default().iter().map(|(name, ..)| name.as_str());
                return Err(Complaint::at(node.place, format!("there is no secret `{name}`"))
                    .nearest(&name, known)
                    .help("secrets are declared at the end of the file: secrets: { NAME: { file: PATH } }"));
            };
            if secret.get("external").is_some_and(|external| truth(external).unwrap_or(true)) {
                return Err(Complaint::at(
                    node.place,
                    format!("the secret {name} is external, and nobody can say what it is"),
                ));
            }
            let mut entry = Entry::default();
            entry.fields.insert("id".to_owned(), name);
            for (from, to) in [("file", "src"), ("environment", "env")] {
                if let Some(value) = secret.get(from).and_then(Node::text) {
                    entry.fields.insert(to.to_owned(), value);
                }
            }
            entries.push(entry);
        }
        Ok(Setting::Entries(without_doubles(EntryKind::Secret, entries)))
    }
}

/// `x-bake`, which adds what compose files cannot say.
fn extend(extension: &Node, settings: &mut Settings) -> Result<()> {
    for (field, at, node) in extension.members() {
        let mut more = Settings::default();
        match field.as_str() {
            "tags" | "platforms" | "no-cache-filter" => {
                let mut all = settings.list(field).to_vec();
                all.extend(words(node)?);
                settings.set(field, Setting::List(super::config::deduplicated(&all)));
            }
            "cache-from" => more.set(field, entries(EntryKind::Cache, &words(node)?, node.place)?),
            "cache-to" | "output" => {
                let kind = if field == "output" { EntryKind::Output } else { EntryKind::Cache };
                let mut all = settings.entries(field).to_vec();
                for text in words(node)? {
                    all.extend(read(kind, &text, node.place)?);
                }
                settings.set(field, Setting::Entries(without_doubles(kind, all)));
            }
            "secret" => more.set(field, entries(EntryKind::Secret, &words(node)?, node.place)?),
            "ssh" => more.set(field, entries(EntryKind::Ssh, &words(node)?, node.place)?),
            "pull" | "no-cache" => more.set(field, Setting::Flag(truth(node)?)),
            "contexts" => {
                let mut all = contexts(node)?;
                all.extend(settings.map("contexts").cloned().unwrap_or_default());
                more.set(field, Setting::Map(all));
            }
            other => {
                return Err(Complaint::at(*at, format!("`x-bake` has no `{other}`")).nearest(other, EXTENSION));
            }
        }
        settings.merge(&more);
        if field == "ssh" {
            let all = sorted(Setting::Entries(settings.entries("ssh").to_vec()));
            settings.set("ssh", all);
        }
    }
    Ok(())
}

fn read(kind: EntryKind, text: &str, place: Place) -> Result<Vec<Entry>> {
    Entry::read(kind, text).map_err(|reason| Complaint::at(place, reason))
}

fn entries(kind: EntryKind, texts: &[String], place: Place) -> Result<Setting> {
    let mut all = Vec::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        all.extend(read(kind, text, place)?);
    }
    Ok(Setting::Entries(without_doubles(kind, all)))
}

fn sorted(setting: Setting) -> Setting {
    match setting {
        Setting::Entries(mut entries) => {
            entries.sort_by(|left, right| (left.get("id"), &left.paths).cmp(&(right.get("id"), &right.paths)));
            Setting::Entries(entries)
        }
        other => other,
    }
}

/// Other services are targets.
fn contexts(node: &Node) -> Result<BTreeMap<String, String>> {
    let context = |(name, value): (String, Option<String>)| {
        let value = value.unwrap_or_default();
        let service = value.strip_prefix("service:").or_else(|| value.strip_prefix("target:"));
        let value = service.map(|service| format!("target:{}", service.replace('.', "_"))).unwrap_or(value);
        (name, value)
    };
    Ok(pairs(node)?.into_iter().map(context).collect())
}

/// `HOST=ADDRESS`, `HOST:ADDRESS`, or a map; a host may have several addresses.
fn hosts(node: &Node) -> Result<BTreeMap<String, String>> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut add = |host: &str, address: &str| {
        let addresses = all.entry(host.to_owned()).or_default();
        if !addresses.is_empty() {
            addresses.push(',');
        }
        addresses.push_str(address.trim_matches(['[', ']']));
    };
    if let Yaml::List(nodes) = &node.what {
        for node in nodes {
            let text = node.text().unwrap_or_default();
            let (host, address) = text
                .split_once('=')
                .or_else(|| text.split_once(':'))
                .ok_or_else(|| Complaint::at(node.place, "a host is written HOST=ADDRESS"))?;
            add(host, address);
        }
    }
    for (host, _, node) in node.members() {
        match &node.what {
            Yaml::List(nodes) => nodes.iter().filter_map(Node::text).for_each(|address| add(host, &address)),
            _ => add(host, &node.text().unwrap_or_default()),
        }
    }
    Ok(all)
}

fn ulimits(node: &Node) -> Result<Vec<String>> {
    let wrong = |place| Complaint::at(place, "a limit is a number, or a map with `soft` and `hard`");
    let one = |(name, _, node): &(String, Place, Node)| {
        let part = |part: &str| node.get(part).and_then(Node::text).ok_or_else(|| wrong(node.place));
        match node.text() {
            Some(both) => Ok(format!("{name}={both}:{both}")),
            None => Ok(format!("{name}={}:{}", part("soft")?, part("hard")?)),
        }
    };
    let mut all: Vec<String> = node.members().iter().map(one).collect::<Result<_>>()?;
    all.sort();
    Ok(all)
}

/// A size as Docker prints it: `128m` is `128MiB`. What is none is left for the build to complain of.
#[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
fn size(text: &str) -> String {
    let lower = text.to_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match lower[digits.len()..].trim_end_matches('b').trim_end_matches('i') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return text.to_owned(),
    };
    let Some(bytes) = digits.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(factor)) else {
        return text.to_owned();
    };
    let (mut amount, mut units) = (bytes as f64, ["B", "KiB", "MiB", "GiB", "TiB"].iter());
    let mut unit = units.next().copied().unwrap_or_default();
    while amount >= 1024.0 {
        let Some(next) = units.next() else { break };
        (amount, unit) = (amount / 1024.0, next);
    }
    let whole = format!("{amount:.0}").len();
    let shown = format!("{amount:.*}", 4_usize.saturating_sub(whole));
    let shown = if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.') } else { &shown };
    format!("{shown}{unit}")
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_print_as_docker_prints_them() {
        for (text, shown) in [("128m", "128MiB"), ("1536k", "1.5MiB"), ("64", "64B"), ("2gb", "2GiB"), ("lots", "lots")]
        {
            assert_eq!(size(text), shown);
        }
    }
}
