//! What the variables of a service are worth: those of `environment`, of the files of `env_file`, and of the user.
//!
//! They are not in the image, but arguments of the build that have no value take it from here.

use std::collections::BTreeMap;

use super::super::dotenv;
use super::super::files::Beside;
use super::super::place::{Complaint, Place, Result};
use super::super::yaml::{Node, Yaml};
use super::{Lookup, pairs, truth};

/// The variables of one service.
pub(super) struct Environment<'l> {
    /// `environment`; one without a value is the user's.
    own: BTreeMap<String, Option<String>>,
    /// What the files say.
    files: BTreeMap<String, String>,
    lookup: Lookup<'l>,
}

impl<'l> Environment<'l> {
    /// Reads the files. One that is not there is an error, whether the service is built or not.
    pub(super) fn of(service: &Node, beside: &Beside, lookup: Lookup<'l>) -> Result<Self> {
        let own = service.get("environment").map(pairs).transpose()?.unwrap_or_default().into_iter().collect();
        let mut environment = Self { own, files: BTreeMap::new(), lookup };
        for file in service.get("env_file").map(files).transpose()?.unwrap_or_default() {
            match beside.read(&file.path) {
                Ok(text) => dotenv::add(&mut environment.files, &text, lookup),
                Err(_) if !file.required => {}
                Err(why) => {
                    return Err(Complaint::at(file.place, format!("could not read {}: {why}", file.path))
                        .help("one that may be missing is written { path: FILE, required: false }"));
                }
            }
        }
        Ok(environment)
    }

    /// What a variable is worth.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        match self.own.get(name) {
            Some(own) => own.clone(),
            None => self.files.get(name).cloned(),
        }
        .or_else(|| (self.lookup)(name))
    }
}

struct EnvFile {
    path: String,
    required: bool,
    place: Place,
}

/// A path, or a list of paths and of maps with `path`.
fn files(node: &Node) -> Result<Vec<EnvFile>> {
    let nodes = match &node.what {
        Yaml::Null => return Ok(Vec::new()),
        Yaml::List(nodes) => nodes.as_slice(),
        Yaml::Bool(_) | Yaml::Text(_) => std::slice::from_ref(node),
        Yaml::Map(_) => return Err(Complaint::at(node.place, "`env_file` is a path, or a list of them")),
    };
    nodes.iter().map(file).collect()
}

fn file(node: &Node) -> Result<EnvFile> {
    let path = node.text().or_else(|| node.get("path").and_then(Node::text));
    let path = path.ok_or_else(|| Complaint::at(node.place, "a file is a path, or a map with `path`"))?;
    if let Some(format) = node.get("format") {
        // Docker's bake knows none of them, either.
        return Err(Complaint::at(format.place, "files of variables in another format are not read here"));
    }
    let required = node.get("required").map(truth).transpose()?.unwrap_or(true);
    Ok(EnvFile { path, required, place: node.place })
}
