//! What several compose files say together: variables put in, `extends` followed, `include` brought in, later files over
//! earlier ones.
//!
//! Paths come out relative to where the definition is used: each was said relative to the directory of its project, which
//! for files that are included is that of the file, or the one that `include` names.

use super::super::dotenv;
use super::super::files::Beside;
use super::super::interpolate::interpolate;
use super::super::paths::{clean, join, parent};
use super::super::place::{BakeFile, Complaint, Place, Result};
use super::super::yaml::{self, Node, Yaml};
use super::{Lookup, pairs};

/// What is looked at of a service.
const SERVICE: [&str; 5] = ["build", "env_file", "environment", "extends", "image"];

/// What is looked at of a file.
const SECTIONS: [&str; 2] = ["services", "secrets"];

/// Reads compose files, and those that they name.
pub(super) struct Reader<'r> {
    /// Grows with every file that another one names, so that complaints can show them.
    pub(super) files: &'r mut Vec<BakeFile>,
    /// Where those are.
    pub(super) beside: &'r Beside,
}

/// What the files of a project have in common.
#[derive(Clone, Copy)]
struct Project<'p> {
    /// What its paths are relative to; empty where the definition is used.
    directory: &'p str,
    /// What its variables are worth.
    lookup: Lookup<'p>,
    /// The files that included it, the first first.
    way: &'p [String],
}

impl Reader<'_> {
    /// The files of these numbers; none when there are none.
    pub(super) fn whole(&mut self, which: &[usize], lookup: Lookup<'_>) -> Result<Option<Node>> {
        self.project(which, Project { directory: "", lookup, way: &[] })
    }

    fn project(&mut self, which: &[usize], project: Project<'_>) -> Result<Option<Node>> {
        let mut whole = None;
        for index in which {
            let read = self.file(*index, project)?;
            whole = Some(match whole {
                Some(earlier) => merged(earlier, read),
                None => read,
            });
        }
        Ok(whole)
    }

    fn file(&mut self, index: usize, project: Project<'_>) -> Result<Node> {
        let mut read = yaml::parse(index, &self.files[index])?;
        let include = read.get("include").cloned();
        filled_in(&mut read, project.lookup)?;
        self.extend(&mut read, project)?;
        settle(&mut read, project.directory, project.lookup);
        if let Some(mut include) = include {
            filled(&mut include, project.lookup)?;
            let way = [project.way, &[clean(&self.files[index].name)]].concat();
            self.include(&mut read, &include, Project { way: &way, ..project })?;
        }
        Ok(read)
    }

    /// Brings in what other files declare. What is here already comes over it.
    fn include(&mut self, into: &mut Node, include: &Node, project: Project<'_>) -> Result<()> {
        let Yaml::List(all) = &include.what else {
            return Err(Complaint::at(include.place, format!("`include` is {}, and is to be a list", include.kind())));
        };
        for one in all {
            let Some(imported) = self.included(one, project)? else { continue };
            for section in SECTIONS {
                let Some(from) = imported.get(section) else { continue };
                let nothing = || Node { place: from.place, what: Yaml::Map(Vec::new()) };
                let mut to = into.get(section).cloned().unwrap_or_else(nothing);
                for (name, place, node) in from.members() {
                    let whole = match to.get(name) {
                        Some(own) => merged(node.clone(), own.clone()),
                        None => node.clone(),
                    };
                    to.put(name, *place, whole);
                }
                into.put(section, from.place, to);
            }
        }
        Ok(())
    }

    fn included(&mut self, one: &Node, project: Project<'_>) -> Result<Option<Node>> {
        let paths = match &one.what {
            Yaml::Map(_) => one.get("path").map(texts).transpose()?.unwrap_or_default(),
            Yaml::Null | Yaml::Bool(_) | Yaml::Text(_) | Yaml::List(_) => one.text().into_iter().collect(),
        };
        let Some(main) = paths.first().map(|path| join(project.directory, path)) else {
            return Err(Complaint::at(one.place, "this names no file").help("include: [FILE], or a map with `path`"));
        };
        if project.way.contains(&main) {
            let way = [project.way, &[main]].concat().join(" includes ");
            return Err(Complaint::at(one.place, "a file includes itself").note(way));
        }
        let directory = match one.get("project_directory").and_then(Node::text) {
            Some(directory) => join(project.directory, &directory),
            None => parent(&main),
        };
        let given = match one.get("env_file").map(texts).transpose()? {
            None => self.beside.read(&join(&directory, ".env")).ok().into_iter().collect(),
            Some(files) => {
                let read = |file: &String| self.read(&join(project.directory, file), one.place);
                files.iter().filter(|file| *file != "/dev/null").map(read).collect::<Result<Vec<_>>>()?
            }
        };
        let own = given.iter().fold(std::collections::BTreeMap::new(), |mut own, text| {
            let more = dotenv::parse(text, &|name| (project.lookup)(name).or_else(|| own.get(name).cloned()));
            own.extend(more);
            own
        });
        let lookup = |name: &str| (project.lookup)(name).or_else(|| own.get(name).cloned());
        let paths = paths.iter().map(|path| self.open(&join(project.directory, path), one.place));
        let which = paths.collect::<Result<Vec<_>>>()?;
        let mut whole = self.project(&which, Project { directory: &directory, lookup: &lookup, way: project.way })?;
        if let Some(whole) = &mut whole {
            at_home(whole, &directory);
        }
        Ok(whole)
    }

    fn read(&self, path: &str, place: Place) -> Result<String> {
        self.beside.read(path).map_err(|why| Complaint::at(place, format!("could not read {path}: {why}")))
    }

    /// The number of another file.
    fn open(&mut self, path: &str, place: Place) -> Result<usize> {
        let text = self.read(path, place)?;
        if self.files.len() == MOST {
            return Err(Complaint::at(place, format!("there are more than {MOST} files in this definition")));
        }
        self.files.push(BakeFile { name: path.to_owned(), text });
        Ok(self.files.len() - 1)
    }

    /// Puts what services extend below them.
    fn extend(&mut self, file: &mut Node, project: Project<'_>) -> Result<()> {
        let Some(services) = file.get("services") else { return Ok(()) };
        let (place, mut whole) = (services.place, services.clone());
        for (name, place, _) in services.members() {
            whole.put(name, *place, self.extended(services, (name, *place), project, &mut Vec::new())?);
        }
        file.put("services", place, whole);
        Ok(())
    }

    fn extended(
        &mut self,
        services: &Node,
        (name, place): (&str, Place),
        project: Project<'_>,
        way: &mut Vec<(String, String)>,
    ) -> Result<Node> {
        let Some(service) = services.get(name) else {
            let known = services.members().iter().map(|(name, ..)| name.as_str());
            return Err(Complaint::at(place, format!("there is no service `{name}`"))
                .nearest(name, known)
                .help("one of another file is extended so: extends: { file: FILE, service: NAME }"));
        };
        let Some(extends) = service.get("extends") else { return Ok(service.clone()) };
        let step = (clean(&self.files[extends.place.file].name), name.to_owned());
        if way.contains(&step) {
            return Err(Complaint::at(extends.place, format!("the service {name} extends itself")));
        }
        way.push(step);
        let Some(base) = extends.text().or_else(|| extends.get("service").and_then(Node::text)) else {
            return Err(Complaint::at(extends.place, "this names no service").help("extends: { service: NAME }"));
        };
        let other = match extends.get("file").and_then(Node::text) {
            Some(file) => Some(self.services(&file, extends.place, project)?),
            None => None,
        };
        let base = self.extended(other.as_ref().unwrap_or(services), (&base, extends.place), project, way)?;
        Ok(merged(base, service.clone()))
    }

    /// The services of another file, whose paths are made relative to the project.
    fn services(&mut self, path: &str, place: Place, project: Project<'_>) -> Result<Node> {
        let index = self.open(&join(project.directory, path), place)?;
        let mut read = yaml::parse(index, &self.files[index])?;
        filled_in(&mut read, project.lookup)?;
        settle(&mut read, &parent(path), project.lookup);
        let none = || Complaint::at(place, format!("{path} has no `services`"));
        read.get("services").cloned().ok_or_else(none)
    }
}

/// No definition is of more files: one that includes two, which include two each, and so on, ends here.
const MOST: usize = 1000;

/// Puts variables into what is looked at; the rest of the file may have some that nobody sets.
fn filled_in(node: &mut Node, lookup: Lookup<'_>) -> Result<()> {
    let Yaml::Map(members) = &mut node.what else {
        return Err(Complaint::at(node.place, format!("this compose file is {}, and is to be a map", node.kind())));
    };
    members.retain(|(name, ..)| SECTIONS.contains(&name.as_str()));
    for (section, _, node) in members {
        for (.., entry) in node.members_mut() {
            if section == "services"
                && let Yaml::Map(fields) = &mut entry.what
            {
                fields.retain(|(name, ..)| SERVICE.contains(&name.as_str()));
            }
            filled(entry, lookup)?;
        }
    }
    Ok(())
}

fn filled(node: &mut Node, lookup: Lookup<'_>) -> Result<()> {
    match &mut node.what {
        Yaml::Text(text) => {
            *text = interpolate(text, lookup).map_err(|reason| Complaint::at(node.place, reason))?;
            Ok(())
        }
        Yaml::List(nodes) => nodes.iter_mut().try_for_each(|node| filled(node, lookup)),
        Yaml::Map(members) => members.iter_mut().try_for_each(|(.., node)| filled(node, lookup)),
        Yaml::Null | Yaml::Bool(_) => Ok(()),
    }
}

/// Makes the paths of a file those of whoever reads `directory`.
fn settle(file: &mut Node, directory: &str, lookup: Lookup<'_>) {
    let path = |text: &str| match text.strip_prefix('~') {
        Some(rest) => format!("{}{rest}", lookup("HOME").unwrap_or_default()),
        None => join(directory, text),
    };
    let context = |text: &str| if is_elsewhere(text) { text.to_owned() } else { path(text) };
    for (section, _, entries) in file.members_mut() {
        for (.., entry) in entries.members_mut() {
            if section == "secrets" {
                entry.change("file", &path);
                continue;
            }
            entry.change("build", &context);
            entry.change("env_file", &path);
            for (name, _, node) in entry.members_mut() {
                match name.as_str() {
                    "build" => {
                        node.change("context", &context);
                        node.members_mut()
                            .iter_mut()
                            .filter(|(name, ..)| name == "additional_contexts")
                            .for_each(|(.., contexts)| change_values(contexts, &context));
                    }
                    "env_file" => files(node, &path),
                    "extends" => node.change("file", &path),
                    _ => {}
                }
            }
        }
    }
}

/// Changes paths in a list, and those of maps in it.
fn files(list: &mut Node, path: &dyn Fn(&str) -> String) {
    if let Yaml::List(nodes) = &mut list.what {
        for node in nodes {
            change_text(node, path);
            node.change("path", path);
        }
    }
}

/// Whether a context is no directory of this machine.
fn is_elsewhere(text: &str) -> bool {
    const STARTS: [&str; 5] = ["service:", "target:", "github.com/", "git@", "/"];
    text.contains("://") || STARTS.iter().any(|start| text.starts_with(start))
}

/// Changes the values of a map, or of a list of `NAME=VALUE`.
fn change_values(node: &mut Node, change: &dyn Fn(&str) -> String) {
    match &mut node.what {
        Yaml::Map(members) => members.iter_mut().for_each(|(.., node)| change_text(node, change)),
        Yaml::List(nodes) => nodes.iter_mut().for_each(|node| {
            change_text(node, &|text: &str| match text.split_once('=') {
                Some((name, value)) => format!("{name}={}", change(value)),
                None => text.to_owned(),
            });
        }),
        Yaml::Null | Yaml::Bool(_) | Yaml::Text(_) => {}
    }
}

fn change_text(node: &mut Node, change: &dyn Fn(&str) -> String) {
    if let Yaml::Text(text) = &mut node.what {
        *text = change(text);
    }
}

impl Node {
    /// Changes the text of a member.
    fn change(&mut self, name: &str, change: &dyn Fn(&str) -> String) {
        let members = self.members_mut().iter_mut();
        members.filter(|(known, ..)| known == name).for_each(|(.., node)| change_text(node, change));
    }
}

/// A service that says of no context is built in its project's directory.
fn at_home(whole: &mut Node, directory: &str) {
    let services = whole.members_mut().iter_mut().filter(|(name, ..)| name == "services");
    for (.., service) in services.flat_map(|(.., services)| services.members_mut()) {
        for (.., build) in service.members_mut().iter_mut().filter(|(name, ..)| name == "build") {
            let place = build.place;
            if matches!(build.what, Yaml::Map(_)) && build.get("context").is_none() {
                build.put("context", place, Node { place, what: Yaml::Text(directory.to_owned()) });
            }
        }
    }
}

/// One text or several.
fn texts(node: &Node) -> Result<Vec<String>> {
    match &node.what {
        Yaml::List(_) => super::list(node),
        Yaml::Null | Yaml::Bool(_) | Yaml::Text(_) | Yaml::Map(_) => {
            let wrong = || Complaint::at(node.place, format!("this is {}, and is to be a path", node.kind()));
            Ok(vec![node.text().ok_or_else(wrong)?])
        }
    }
}

/// Maps go name by name, lists follow each other, and of anything else the later counts.
fn merged(earlier: Node, later: Node) -> Node {
    let place = later.place;
    let what = match (earlier.what, later.what) {
        (Yaml::Map(mut members), Yaml::Map(more)) => {
            for (name, at, node) in more {
                match members.iter_mut().find(|(known, ..)| *known == name) {
                    Some((.., known)) => {
                        let (a, b) = alike(&name, std::mem::replace(known, Node { place, what: Yaml::Null }), node);
                        *known = merged(a, b);
                    }
                    None => members.push((name, at, node)),
                }
            }
            Yaml::Map(members)
        }
        (Yaml::List(mut nodes), Yaml::List(more)) => {
            let texts: Vec<_> = nodes.iter().filter_map(Node::text).collect();
            nodes.extend(more.into_iter().filter(|node| node.text().is_none_or(|text| !texts.contains(&text))));
            Yaml::List(nodes)
        }
        (earlier, Yaml::Null) => earlier,
        (_, later) => later,
    };
    Node { place, what }
}

/// Two ways to say the same become one, so that both count: `build: DIR`, and lists of `NAME=VALUE`.
fn alike(name: &str, earlier: Node, later: Node) -> (Node, Node) {
    let long = |node: Node| match (&node.what, name) {
        (Yaml::Text(_), "build") => {
            let place = node.place;
            Node { place, what: Yaml::Map(vec![("context".to_owned(), place, node)]) }
        }
        (Yaml::Text(_), "env_file") => Node { place: node.place, what: Yaml::List(vec![node]) },
        (Yaml::List(_), "args" | "labels" | "additional_contexts" | "environment") => {
            let pairs = pairs(&node).unwrap_or_default();
            let member = |(name, value): (String, Option<String>)| {
                let what = value.map_or(Yaml::Null, Yaml::Text);
                (name, node.place, Node { place: node.place, what })
            };
            Node { place: node.place, what: Yaml::Map(pairs.into_iter().map(member).collect()) }
        }
        _ => node,
    };
    (long(earlier), long(later))
}
