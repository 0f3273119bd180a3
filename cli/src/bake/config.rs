//! The targets and groups of a definition, and what one target is after everything it inherits.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::ordered::Ordered;
use super::overrides::Overrides;
use super::place::{Complaint, Place, Result};
use super::resolve::{Resolver, Said};
use super::settings::{Setting, Settings};

/// A group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Targets and groups.
    pub targets: Vec<String>,
    /// Where its members are named.
    pub place: Option<Place>,
}

/// A target that is ready to be built.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// What it says, with what it inherits and what the command line says.
    pub settings: Settings,
    /// Where its block says it.
    pub places: BTreeMap<String, Place>,
    /// Whether it is built only because another needs it.
    pub linked: bool,
    /// Its context, where that is the definition's own directory and not the user's.
    pub own_context: Option<PathBuf>,
    /// The same of named contexts.
    pub own_contexts: BTreeMap<String, String>,
}

/// A target or a group as it is listed.
#[derive(Clone, Debug)]
pub struct ListedTarget {
    /// Its name.
    pub name: String,
    /// What it is for, and what is in it.
    pub description: String,
    /// Whether it is a group.
    pub group: bool,
}

impl ListedTarget {
    /// As Docker prints it.
    pub fn json(&self) -> Ordered {
        let mut members = vec![("name".to_owned(), Ordered::from(self.name.as_str()))];
        if !self.description.is_empty() {
            members.push(("description".to_owned(), self.description.as_str().into()));
        }
        if self.group {
            members.push(("group".to_owned(), Ordered::Leaf(true.into())));
        }
        Ordered::Map(members)
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Each once.
    pub targets: Vec<Said>,
    /// In order; of several of a name the first counts.
    pub groups: Vec<Group>,
    /// Whether contexts are settled later, because the definition is not of this machine.
    pub elsewhere: bool,
}

impl Config {
    /// Adds what HCL and JSON say.
    pub fn add(&mut self, resolver: &Resolver<'_>) -> Result<()> {
        for said in resolver.blocks("group")? {
            let group = Group {
                description: said.settings.text("description").unwrap_or_default().to_owned(),
                targets: deduplicated(said.settings.list("targets")),
                place: Some(said.places.get("targets").copied().unwrap_or(said.place)),
                name: said.name,
            };
            match self.groups.iter_mut().find(|known| known.name == group.name) {
                Some(known) => *known = group,
                None => self.groups.push(group),
            }
        }
        for said in resolver.blocks("target")? {
            self.add_target(said);
        }
        for (name, targets) in resolver.renamed() {
            self.groups.push(Group { name, description: String::new(), targets, place: None });
        }
        Ok(())
    }

    /// Adds a target, or to one.
    pub fn add_target(&mut self, said: Said) {
        match self.targets.iter_mut().find(|known| known.name == said.name) {
            Some(known) => {
                known.settings.merge(&said.settings);
                known.places.extend(said.places);
            }
            None => self.targets.push(said),
        }
    }

    /// The names of targets and groups that a word of the command line means.
    pub fn matching(&self, word: &str) -> Result<Vec<String>> {
        // A service of a compose file may have a dot in its name.
        let word = word.replace('.', "_");
        if !word.contains(['*', '?', '[', ']']) {
            return Ok(vec![word]);
        }
        let all = self.groups.iter().map(|group| &group.name).chain(self.targets.iter().map(|target| &target.name));
        let names: Vec<String> = all.filter(|name| super::glob::matches(&word, name)).cloned().collect();
        if names.is_empty() {
            return Err(Complaint::general(format!("no target matches `{word}`"))
                .help("`wharf bake --list targets` names them"));
        }
        Ok(names)
    }

    /// The targets of a group and of the groups in it, and those groups; a target alone is its own.
    pub fn members(&self, name: &str) -> (Vec<String>, Vec<String>) {
        let (mut targets, mut groups) = (Vec::new(), Vec::new());
        self.gather(name, &mut targets, &mut groups);
        (targets, groups)
    }

    fn gather(&self, name: &str, targets: &mut Vec<String>, groups: &mut Vec<String>) {
        match self.group(name) {
            // A group that is in itself says nothing new.
            Some(group) if !groups.contains(&group.name) => {
                groups.push(group.name.clone());
                for member in &group.targets {
                    // A target of the group's own name.
                    if *member == group.name && self.targets.iter().any(|target| target.name == *member) {
                        push_new(targets, member);
                    } else {
                        self.gather(member, targets, groups);
                    }
                }
            }
            Some(_) => {}
            None => push_new(targets, name),
        }
    }

    /// A group.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// A target with what it inherits, and what the command line says of it. `asked` is who wants it, if not the user.
    pub fn target(&self, name: &str, overrides: &mut Overrides, asked: Option<Place>) -> Result<Target> {
        let mut settings = self.inherited(name, overrides, (asked, &mut Vec::new()))?;
        settings.remove("inherits");
        let context = settings.text("context").unwrap_or(".");
        let context = if self.elsewhere { context.to_owned() } else { super::order::context(context) };
        settings.set("context", Setting::Text(context));
        if settings.text("dockerfile").is_none_or(str::is_empty) {
            settings.set("dockerfile", Setting::Text("Dockerfile".to_owned()));
        }
        let places = self.targets.iter().find(|target| target.name == name).map(|said| said.places.clone());
        Ok(Target {
            name: name.to_owned(),
            settings,
            places: places.unwrap_or_default(),
            linked: false,
            own_context: None,
            own_contexts: BTreeMap::new(),
        })
    }

    /// What `--list targets` shows: names that begin with `_` are nobody else's business.
    pub fn listed(&self) -> Vec<ListedTarget> {
        let targets = self.targets.iter().map(|target| ListedTarget {
            name: target.name.clone(),
            description: target.settings.text("description").unwrap_or_default().to_owned(),
            group: false,
        });
        let groups = self.groups.iter().map(|group| {
            let mut members = group.targets.clone();
            members.sort();
            let members = members.join(", ");
            let description = match (group.description.as_str(), members.as_str()) {
                ("", members) => members.to_owned(),
                (words, "") => words.to_owned(),
                (words, members) => format!("{words} ({members})"),
            };
            ListedTarget { name: group.name.clone(), description, group: true }
        });
        let mut all: Vec<_> = targets.chain(groups).filter(|one| !one.name.starts_with('_')).collect();
        all.sort_by(|left, right| left.name.cmp(&right.name));
        all
    }

    fn inherited(
        &self,
        name: &str,
        overrides: &mut Overrides,
        (asked, waiting): (Option<Place>, &mut Vec<String>),
    ) -> Result<Settings> {
        let Some(said) = self.targets.iter().find(|target| target.name == name) else {
            return Err(self.unknown(name, asked));
        };
        if waiting.iter().any(|one| one == name) {
            let cycle = waiting.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(" → ");
            let title = format!("the target {name} inherits from itself");
            let complaint = asked.map_or_else(|| Complaint::general(&title), |place| Complaint::at(place, &title));
            return Err(complaint.note(cycle));
        }
        waiting.push(name.to_owned());
        let mut settings = Settings::default();
        for parent in said.settings.list("inherits") {
            let asked = Some(said.places.get("inherits").copied().unwrap_or(said.place));
            settings.merge(&self.inherited(parent, overrides, (asked, &mut *waiting))?);
        }
        waiting.pop();
        settings.merge(&said.settings);
        overrides.apply(name, &mut settings)?;
        settings.normalize();
        Ok(settings)
    }

    fn unknown(&self, name: &str, asked: Option<Place>) -> Box<Complaint> {
        let known = || self.targets.iter().map(|target| target.name.as_str());
        let known = known().chain(self.groups.iter().map(|group| group.name.as_str()));
        let place = asked.or_else(|| {
            self.groups
                .iter()
                .find(|group| group.targets.iter().any(|member| member == name))
                .and_then(|group| group.place)
        });
        let complaint = match place {
            Some(place) => Complaint::at(place, format!("there is no target `{name}`")),
            None => Complaint::general(format!("there is no target `{name}`")),
        };
        match (name, place) {
            ("default", None) => complaint
                .help("name a target, or write group \"default\" { targets = [\"…\"] }; `wharf bake --list targets` names them"),
            _ => complaint.nearest(name, known),
        }
    }
}

fn push_new(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}

/// Each once, where it comes first.
pub fn deduplicated(names: &[String]) -> Vec<String> {
    let mut once = Vec::new();
    for name in names {
        push_new(&mut once, name);
    }
    once
}
