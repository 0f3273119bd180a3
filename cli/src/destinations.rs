//! Where `wharf build` puts an image: what its flags and its outputs say, together.

use wharf_spec::Reference;

use crate::args::Build;
use crate::caches::{CacheFlag, flags};
use crate::engine::Address;
use crate::failure::Failure;
use crate::outputs::{Form, Insecure, Naming, Output};
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
    /// Registries that outputs call insecure.
    pub insecure: Vec<String>,
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
        let (names, untagged, pushed, insecure) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut all = Self { outputs, caches, names, untagged, pushed, engine, form, insecure };
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

    /// All names the image gets, for what is attested about it.
    pub fn all_names(&self) -> Vec<Reference> {
        let mut all = self.names.clone();
        for name in self.untagged.iter().chain(self.pushed.iter().map(|pushed| &pushed.name)) {
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
        all
    }

    fn name(&mut self, naming: &Naming, tags: &[Reference], push: bool) {
        let push = push || naming.push;
        let names = if naming.names.is_empty() { tags } else { naming.names.as_slice() };
        if naming.insecure == Insecure::Allowed {
            self.insecure.extend(names.iter().filter_map(|name| name.host.as_ref()).map(ToString::to_string));
        }
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};
    use crate::env::Environment;

    fn read(arguments: &[&str]) -> Result<Destinations, Failure> {
        let cli = Cli::try_parse_from([&["wharf", "build"], arguments, &["."]].concat()).unwrap();
        let Command::Build(mut command) = cli.command else { panic!("it is a build") };
        Destinations::of(&Session::for_tests(Environment::default(), true), &mut command)
    }

    /// `stored; untagged; pushed`, where `!` marks what the store does not have and `@` what gets no tag.
    fn told(arguments: &[&str]) -> String {
        let all = read(arguments).unwrap();
        let join = |names: &[Reference]| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let pushed = all.pushed.iter().map(|one| {
            format!("{}{}{}", if one.stored { "" } else { "!" }, one.name, if one.tagged { "" } else { "@" })
        });
        format!("{}; {}; {}", join(&all.names), join(&all.untagged), pushed.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn names_go_where_flags_and_outputs_say() {
        for (arguments, expected) in [
            (vec!["-t", "a:1"], "a:1; ; "),
            (vec!["-t", "h.io/a:1", "-t", "b", "--push"], "h.io/a:1 b; ; h.io/a:1"),
            (vec!["-t", "h.io/a:1", "-o", "type=registry"], "h.io/a:1; ; h.io/a:1"),
            (vec!["-t", "h.io/a:1", "-o", "type=registry,store=false"], "; ; !h.io/a:1"),
            (vec!["-t", "h.io/a:1", "-o", "type=image,name=h.io/b,push=true"], "h.io/a:1 h.io/b; ; h.io/b"),
            (vec!["-o", "type=image,name=h.io/b,push=true,push-by-digest=true"], "; h.io/b; h.io/b@"),
            (vec!["-o", "type=image,dangling-name-prefix=x"], "; x; "),
            (vec!["-t", "a", "-o", "type=image,dangling-name-prefix=x,dangling-name-empty-only=true"], "a; ; "),
        ] {
            assert_eq!(told(&arguments), expected, "{arguments:?}");
        }
        for bad in [vec!["--push"], vec!["-t", "a", "--push"], vec!["-o", "type=registry,name=a"]] {
            assert!(read(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_registry_is_insecure_where_an_output_says_so() {
        let all = read(&["-t", "h.io/a", "-o", "type=registry,name=g.io:5000/a,registry.insecure=true"]).unwrap();
        assert_eq!(all.insecure, ["g.io:5000"]);
        let names: Vec<_> = all.all_names().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["h.io/a", "g.io:5000/a"]);
    }
}
