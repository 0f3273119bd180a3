//! Where `wharf build` puts an image: what its flags and its outputs say, together.

use wharf_spec::Reference;

use crate::args::Build;
use crate::caches::{CacheFlag, flags};
use crate::engine::Address;
use crate::failure::Failure;
use crate::outputs::{Form, Naming, Output};
use crate::session::Session;

/// Where the image goes, and what it is like.
pub struct Destinations {
    pub outputs: Vec<Output>,
    pub caches: Vec<CacheFlag>,
    /// Of `-t`, and those that outputs name: in the store.
    pub names: Vec<Reference>,
    /// Repositories of the store that hold it without a tag.
    pub untagged: Vec<Reference>,
    /// What registries get.
    pub pushed: Vec<Pushed>,
    pub engine: Option<Address>,
    pub form: Form,
}

/// A name that goes to its registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    pub name: Reference,
    /// Whether it gets the name's tag.
    pub tagged: bool,
    /// Whether the store has it under this name.
    pub stored: bool,
}

impl Destinations {
    /// What the flags say; what outputs say about the image itself becomes part of `command`.
    pub fn of(session: &Session, command: &mut Build) -> Result<Self, Failure> {
        let outputs = command.outputs.iter().map(|text| text.parse()).collect::<Result<Vec<Output>, _>>()?;
        let form = Form::of_all(outputs.iter().filter_map(Output::form))?;
        form.apply(&mut command.options);
        let caches = flags(&command.options.cache_to)?;
        let engine = command.load || outputs.iter().any(|output| matches!(output, Output::Engine(_)));
        let engine = engine.then(|| Address::of(session)).transpose()?;
        let mut all =
            Self { outputs, caches, names: Vec::new(), untagged: Vec::new(), pushed: Vec::new(), engine, form };
        let namings: Vec<Naming> = all.outputs.iter().filter_map(naming).cloned().collect();
        // Tags belong to the outputs that name nothing themselves; to the store, where there is none.
        let unstored = namings.iter().any(|naming| naming.names.is_empty() && !naming.store);
        for tag in &command.options.tags {
            all.add(tag, (true, !unstored), command.push);
        }
        for naming in &namings {
            all.name(naming, &command.options.tags, command.push);
        }
        let asked = command.push || namings.iter().any(|naming| naming.push);
        if asked && all.pushed.is_empty() {
            return Err(Failure::usage("--push needs a name with a registry").hint("-t REGISTRY/NAME:TAG"));
        }
        Ok(all)
    }

    fn name(&mut self, naming: &Naming, tags: &[Reference], push: bool) {
        let push = push || naming.push;
        let names = if naming.names.is_empty() { tags } else { naming.names.as_slice() };
        for name in names {
            self.add(name, (!naming.by_digest, naming.store), push);
        }
        if let Some(dangling) = naming.dangling.as_ref().filter(|dangling| names.is_empty() || !dangling.only_alone) {
            self.add(&dangling.repository, (false, naming.store), push);
        }
    }

    fn add(&mut self, name: &Reference, (tagged, stored): (bool, bool), push: bool) {
        let names = if tagged { &mut self.names } else { &mut self.untagged };
        if stored && !names.contains(name) {
            names.push(name.clone());
        }
        let new = !self.pushed.iter().any(|pushed| pushed.name == *name && pushed.tagged == tagged);
        if push && name.host.is_some() && new {
            self.pushed.push(Pushed { name: name.clone(), tagged, stored });
        }
    }
}

fn naming(output: &Output) -> Option<&Naming> {
    match output {
        Output::Image(naming) => Some(naming),
        Output::Archive(..)
        | Output::Layout(..)
        | Output::Local(_)
        | Output::Tar(_)
        | Output::Engine(_)
        | Output::Nothing => None,
    }
}
