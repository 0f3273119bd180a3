//! What a file offers: its targets, and what each of them takes from outside.

use std::collections::{BTreeMap, BTreeSet};

use super::ast::{Comment, Dockerfile, Origin};
use super::expand::expand;
use super::instruction::{ArgInstruction, Instruction};
use super::mount::MountSpec;
use super::span::Span;

/// A stage that can be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name, or its number when it has none.
    pub name: String,
    /// Whether it is built when no target is named.
    pub default: bool,
    /// The comment above it, when that begins with its name.
    pub description: Option<String>,
    /// What it starts from, as written.
    pub base: String,
    /// `--platform`, as written.
    pub platform: Option<String>,
    /// Its `FROM`.
    pub span: Span,
}

/// What a target takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// The target's name.
    pub name: String,
    /// The comment above it, when that begins with its name.
    pub description: Option<String>,
    /// Build arguments, in the order in which they are declared.
    pub args: Vec<Argument>,
    /// Secrets, by id.
    pub secrets: Vec<Use>,
    /// SSH agents, by id.
    pub ssh: Vec<Use>,
    /// Cache mounts, by id.
    pub caches: Vec<Use>,
}

/// A build argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// The comment above it, when that begins with its name.
    pub description: Option<String>,
    /// What it is given, or its default.
    pub value: Option<String>,
    /// Its declaration.
    pub span: Span,
}

/// Something a `RUN` mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Its id.
    pub id: String,
    /// Whether the step fails without it.
    pub required: bool,
    /// The instruction.
    pub span: Span,
}

/// The targets of a file, in its order.
pub fn targets(file: &Dockerfile) -> Vec<Target> {
    let last = file.stages.len() - 1;
    let target = |(position, stage): (usize, &super::ast::Stage)| Target {
        name: stage.name().map_or_else(|| position.to_string(), str::to_owned),
        default: position == last,
        description: stage.name().and_then(|name| description(&stage.from.origin, name)),
        base: stage.base().text.clone(),
        platform: stage.platform().map(|platform| platform.text.clone()),
        span: stage.from.origin.span,
    };
    file.stages.iter().enumerate().map(target).collect()
}

/// What stage `target` takes, where `needed` are the stages it is made of, itself included.
pub fn outline(
    file: &Dockerfile,
    build_args: &BTreeMap<String, String>,
    target: usize,
    needed: &BTreeSet<usize>,
) -> Outline {
    let stage = &file.stages[target];
    let mut outline = Outline {
        name: stage.name().map_or_else(|| target.to_string(), str::to_owned),
        description: stage.name().and_then(|name| description(&stage.from.origin, name)),
        ..Outline::default()
    };
    let globals = file.global_args.iter().map(|statement| (&statement.instruction, &statement.origin));
    let needed: Vec<&super::ast::Stage> = needed.iter().filter_map(|position| file.stages.get(*position)).collect();
    let local =
        needed.iter().flat_map(|stage| &stage.instructions).filter_map(|statement| match &statement.instruction {
            Instruction::Arg(arg) => Some((arg, &statement.origin)),
            _ => None,
        });
    for (arg, origin) in globals.chain(local) {
        arguments(file, (arg, origin), build_args, &mut outline.args);
    }
    for statement in needed.iter().flat_map(|stage| &stage.instructions) {
        if let Instruction::Run(run) = &statement.instruction {
            run.mounts.iter().for_each(|mount| outline.mount(mount, statement.origin.head));
        }
    }
    outline
}

fn arguments(
    file: &Dockerfile,
    (arg, origin): (&ArgInstruction, &Origin),
    build_args: &BTreeMap<String, String>,
    known: &mut Vec<Argument>,
) {
    for declaration in &arg.args {
        let name = declaration.name.as_str();
        let lookup = |wanted: &str| known.iter().rev().find(|one| one.name == wanted)?.value.clone();
        let default = declaration
            .default
            .as_ref()
            .and_then(|word| expand(word, file.directives.escape(), &lookup).ok().map(|expansion| expansion.value));
        let value = build_args.get(name).cloned().or(default);
        let new = Argument { name: name.to_owned(), description: description(origin, name), value, span: origin.head };
        match known.iter_mut().find(|one| one.name == name) {
            // What is declared again is the same argument: what the second line says more, counts.
            Some(old) => {
                old.value = new.value.or(old.value.take());
                old.description = new.description.or(old.description.take());
            }
            None => known.push(new),
        }
    }
}

/// What a comment says about `name`: the rest of the line that begins with it.
fn description(origin: &Origin, name: &str) -> Option<String> {
    let Comment { text, .. } = origin.comments.last()?;
    let rest = text.strip_prefix(name)?;
    rest.starts_with([' ', '\t']).then(|| rest.trim().to_owned())
}

impl Outline {
    fn mount(&mut self, mount: &MountSpec, span: Span) {
        let field = |wanted: &[&str]| {
            let found = mount.fields.iter().find(|field| wanted.contains(&field.key.as_str()))?;
            Some(found.value.as_ref().map_or("true", |value| value.as_str()).to_owned())
        };
        let target = || field(&["target", "dst", "destination"]);
        let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let (list, id) = match field(&["type"]).as_deref() {
            Some("secret") => (&mut self.secrets, field(&["id"]).or_else(|| target().map(|path| base(&path)))),
            Some("ssh") => (&mut self.ssh, Some(field(&["id"]).unwrap_or_else(|| "default".to_owned()))),
            Some("cache") => (&mut self.caches, field(&["id"]).or_else(target)),
            Some(_) | None => return,
        };
        let required = field(&["required"]).is_some_and(|value| value == "true" || value == "1");
        let Some(id) = id else { return };
        match list.iter_mut().find(|one| one.id == id) {
            Some(old) => old.required |= required,
            None => list.push(Use { id, required, span }),
        }
    }
}
