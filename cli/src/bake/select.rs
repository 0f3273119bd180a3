//! Which targets are built, in which order, and what `--print` shows of them.

use std::collections::BTreeMap;

use super::config::{Config, Group, Target};
use super::entries::Entry;
use super::ordered::Ordered;
use super::overrides::Overrides;
use super::place::{Complaint, Place, Result};
use super::settings::{ATTRIBUTES, Kind, Setting};
use crate::programs::PolicyFlag;

/// What was asked for.
#[derive(Debug, Default)]
pub struct Selection {
    /// By name.
    pub targets: BTreeMap<String, Target>,
    /// By name, `default` being what was asked for.
    pub groups: BTreeMap<String, Group>,
}

impl Selection {
    /// Finds the targets that words of the command line mean, and those they need.
    pub fn of(config: &Config, words: &[String], overrides: &mut Overrides) -> Result<Self> {
        let mut asked = Vec::new();
        for word in words {
            asked.extend(config.matching(word)?);
        }
        let asked = super::config::deduplicated(&asked);
        let mut selection = Self::default();
        for name in &asked {
            let (targets, groups) = config.members(name);
            for target in targets {
                let resolved = config.target(&target, overrides, None)?;
                selection.targets.insert(target, resolved);
            }
            for group in groups {
                if let Some(found) = config.group(&group) {
                    selection.groups.insert(group, found.clone());
                }
            }
        }
        for name in &asked {
            if name == "default" && selection.groups.contains_key("default") {
                continue;
            }
            let default = selection.groups.entry("default".to_owned()).or_insert_with(|| Group {
                name: "default".to_owned(),
                description: String::new(),
                targets: Vec::new(),
                place: None,
            });
            default.targets.push(name.clone());
        }
        if let Some(default) = selection.groups.get_mut("default") {
            default.targets.sort();
            default.targets.dedup();
        }
        for name in selection.targets.keys().cloned().collect::<Vec<_>>() {
            selection.link(config, &name, (overrides, &mut Vec::new()))?;
        }
        Ok(selection)
    }

    /// Adds the targets that a target takes files from.
    fn link(
        &mut self,
        config: &Config,
        name: &str,
        (overrides, way): (&mut Overrides, &mut Vec<String>),
    ) -> Result<()> {
        way.push(name.to_owned());
        for other in self.needs(name) {
            let place = self.targets.get(name).and_then(|target| target.places.get("contexts")).copied();
            let wrong =
                |title: String| place.map_or_else(|| Complaint::general(&title), |at: Place| Complaint::at(at, &title));
            if way.contains(&other) {
                let cycle = way.iter().map(String::as_str).chain([other.as_str()]).collect::<Vec<_>>().join(" → ");
                return Err(wrong(format!("the target {other} needs itself")).note(cycle));
            }
            if !self.targets.contains_key(&other) {
                let mut target = config.target(&other, overrides, place)?;
                let nowhere = Entry { fields: [("type".to_owned(), "cacheonly".to_owned())].into(), paths: Vec::new() };
                target.settings.set("output", Setting::Entries(vec![nowhere]));
                target.linked = true;
                self.targets.insert(other.clone(), target);
            }
            self.link(config, &other, (&mut *overrides, &mut *way))?;
            self.inherit(name, &other, &wrong)?;
        }
        way.pop();
        Ok(())
    }

    /// What a target takes over from one that it needs.
    fn inherit(&mut self, name: &str, other: &str, wrong: &dyn Fn(String) -> Box<Complaint>) -> Result<()> {
        let Some(needed) = self.targets.get(other) else { return Ok(()) };
        let (entitlements, theirs) =
            (needed.settings.list("entitlements").to_vec(), needed.settings.list("platforms").to_vec());
        let Some(target) = self.targets.get_mut(name) else { return Ok(()) };
        for entitlement in entitlements {
            if !target.settings.list("entitlements").contains(&entitlement) {
                target.settings.extend("entitlements", [entitlement]);
            }
        }
        let ours = target.settings.list("platforms");
        if ours.len() > 1 && theirs.len() > 1 && !ours.iter().all(|platform| theirs.contains(platform)) {
            return Err(wrong(format!(
                "{name} is for {}, and {other}, which it needs, only for {}",
                ours.join(", "),
                theirs.join(", ")
            )));
        }
        Ok(())
    }

    /// Gives all targets a build argument that do not have it.
    pub fn set_argument(&mut self, name: &str, value: &str) {
        for target in self.targets.values_mut() {
            if !target.settings.map("args").is_some_and(|known| known.contains_key(name)) {
                target.settings.put("args", name, value);
            }
        }
    }

    /// The targets that a target takes files from.
    pub fn needs(&self, name: &str) -> Vec<String> {
        let contexts = self.targets.get(name).and_then(|target| target.settings.map("contexts"));
        contexts
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter_map(|value| value.strip_prefix("target:"))
            .map(str::to_owned)
            .collect()
    }

    /// The targets in an order in which each comes after those it needs.
    pub fn order(&self) -> Vec<&Target> {
        let mut order: Vec<&Target> = Vec::new();
        for name in self.targets.keys() {
            self.after_needs(name, &mut order);
        }
        order
    }

    fn after_needs<'s>(&'s self, name: &str, order: &mut Vec<&'s Target>) {
        let Some(target) = self.targets.get(name) else { return };
        if order.iter().any(|known| known.name == name) {
            return;
        }
        for other in self.needs(name) {
            self.after_needs(&other, order);
        }
        order.push(target);
    }

    /// As `--print` shows it.
    pub fn json(&self) -> Ordered {
        self.json_with(Target::json)
    }

    /// The same, with something else for each target.
    pub fn json_with(&self, mut shown: impl FnMut(&Target) -> Ordered) -> Ordered {
        let groups = self.groups.values().map(|group| {
            let mut members = Vec::new();
            if !group.description.is_empty() {
                members.push(("description".to_owned(), Ordered::from(group.description.as_str())));
            }
            members.push(("targets".to_owned(), Ordered::texts(&group.targets)));
            (group.name.clone(), Ordered::Map(members))
        });
        let targets = self.targets.values().map(|target| (target.name.clone(), shown(target)));
        let mut all = Vec::new();
        if !self.groups.is_empty() {
            all.push(("group".to_owned(), Ordered::Map(groups.collect())));
        }
        all.push(("target".to_owned(), Ordered::Map(targets.collect())));
        Ordered::Map(all)
    }
}

impl Target {
    /// As `--print` shows it, which is a definition in JSON again.
    pub fn json(&self) -> Ordered {
        let mut members = Vec::new();
        for (name, kind, _) in ATTRIBUTES {
            let escaped = |text: &str| match name {
                "annotations" | "dockerfile-inline" | "labels" | "args" | "extra-hosts" => {
                    text.replace("${", "$${").replace("%{", "%%{")
                }
                _ => text.to_owned(),
            };
            let value = match (kind, self.settings.get(name)) {
                (_, None) => continue,
                (_, Some(Setting::Text(text))) if name == "description" && text.is_empty() => continue,
                (_, Some(Setting::Text(text))) => Ordered::from(escaped(text).as_str()),
                (_, Some(Setting::Flag(flag))) => Ordered::Leaf((*flag).into()),
                (_, Some(Setting::List(list))) if list.is_empty() => continue,
                (Kind::Policies, Some(Setting::List(list))) => {
                    Ordered::List(list.iter().map(|text| policy(text)).collect())
                }
                (_, Some(Setting::List(list))) => {
                    Ordered::List(list.iter().map(|text| escaped(text).as_str().into()).collect())
                }
                (_, Some(Setting::Map(map))) if map.is_empty() && name != "resources" => continue,
                (_, Some(Setting::Map(map))) if name == "resources" => resources(map),
                (_, Some(Setting::Map(map))) => {
                    Ordered::Map(map.iter().map(|(key, text)| (key.clone(), escaped(text).as_str().into())).collect())
                }
                (_, Some(Setting::Entries(entries))) if entries.is_empty() => continue,
                (Kind::Entries(kind), Some(Setting::Entries(entries))) => {
                    Ordered::List(entries.iter().map(|entry| entry.json(kind)).collect())
                }
                (_, Some(Setting::Entries(_))) => continue,
            };
            members.push((name.to_owned(), value));
        }
        Ordered::Map(members)
    }
}

/// A policy, in the members that Docker prints.
fn policy(text: &str) -> Ordered {
    // It was read when it became a setting.
    let flag = PolicyFlag::parse(text).unwrap_or_default();
    let leaf = |value: Option<serde_json::Value>| Ordered::Leaf(value.unwrap_or_default());
    let file = |name: &String| {
        Ordered::Map(vec![("Filename".to_owned(), name.as_str().into()), ("Data".to_owned(), leaf(None))])
    };
    let files = if flag.files.is_empty() { leaf(None) } else { Ordered::List(flag.files.iter().map(file).collect()) };
    let members = [
        ("Files", files),
        ("Reset", leaf(Some(flag.reset.into()))),
        ("Disabled", leaf(Some(flag.disabled.into()))),
        ("Strict", leaf(flag.strict.map(Into::into))),
        ("LogLevel", leaf(flag.level.map(Into::into))),
    ];
    Ordered::Map(members.map(|(name, value)| (name.to_owned(), value)).into())
}

fn resources(map: &BTreeMap<String, String>) -> Ordered {
    let one = |name: &&str| {
        let text = map.get(*name)?;
        let number = if name.starts_with("cpu-") { text.parse::<i64>().ok() } else { None };
        Some((
            (*name).to_owned(),
            number.map_or_else(|| Ordered::from(text.as_str()), |number| Ordered::Leaf(number.into())),
        ))
    };
    Ordered::Map(super::settings::RESOURCES.iter().filter_map(one).collect())
}
