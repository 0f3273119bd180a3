//! What the names of a definition mean: variables, functions, and what targets say of each other.
//!
//! Everything is found when it is asked for, and kept. What waits for itself is complained of by name.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::definition::{Definition, check_block};
use super::evaluate::{Evaluator, Names, Scope};
use super::place::{Complaint, Place, Result};
use super::settings::{self, Settings};
use super::syntax::Block;
use super::value::Value;

/// Where variables come from besides the files.
pub struct Outside<'o> {
    /// What the command line or the environment sets.
    pub lookup: &'o dyn Fn(&str) -> Option<String>,
    /// Variables that nobody can set.
    pub builtin: BTreeMap<String, String>,
}

/// A block, of a matrix one for each combination.
#[derive(Debug)]
pub struct Instance {
    /// Which of the definition's blocks.
    pub block: usize,
    /// What it is called.
    pub name: String,
    /// Values of the matrix.
    names: BTreeMap<String, Value>,
}

/// A target or a group as its blocks have it.
#[derive(Clone, Debug)]
pub struct Said {
    /// What it is called.
    pub name: String,
    /// Where.
    pub place: Place,
    /// What it says.
    pub settings: Settings,
    /// Where it says it.
    pub places: BTreeMap<String, Place>,
}

/// Finds what names mean.
pub struct Resolver<'d> {
    definition: &'d Definition,
    outside: &'d Outside<'d>,
    instances: Vec<Instance>,
    /// Whether blocks may be asked for yet.
    named: bool,
    values: RefCell<BTreeMap<String, Value>>,
    members: RefCell<BTreeMap<(usize, String), Value>>,
    waiting: RefCell<Vec<String>>,
}

impl<'d> Resolver<'d> {
    /// Checks the variables, and names the blocks.
    pub fn new(definition: &'d Definition, outside: &'d Outside<'d>) -> Result<Self> {
        let mut resolver = Self {
            definition,
            outside,
            instances: Vec::new(),
            named: false,
            values: RefCell::default(),
            members: RefCell::default(),
            waiting: RefCell::default(),
        };
        resolver.validate()?;
        let mut instances = Vec::new();
        for (index, block) in definition.blocks.iter().enumerate() {
            check_block(block)?;
            instances.extend(resolver.instances_of(index, block)?);
        }
        resolver.instances = instances;
        resolver.named = true;
        Ok(resolver)
    }

    /// The value of a variable, whether or not anything uses it.
    pub fn variable_value(&self, name: &str, place: Place) -> Result<Value> {
        self.variable(name, place)
    }

    /// What an expression says, as text: that of a description.
    pub fn words(&self, expression: &super::syntax::Expression) -> Result<String> {
        self.evaluator().words(expression, &Scope::default())
    }

    /// The blocks of a kind, with what they say, in order. Those of one name are still apart.
    pub fn blocks(&self, kind: &str) -> Result<Vec<Said>> {
        let of_kind = self.instances.iter().enumerate().filter(|(_, one)| self.block(one).kind == kind);
        of_kind.map(|(index, instance)| self.said(index, instance)).collect()
    }

    /// What became of the names of blocks that have a matrix: the name in the file, and those that are there instead.
    pub fn renamed(&self) -> Vec<(String, Vec<String>)> {
        let mut renamed: Vec<(String, Vec<String>)> = Vec::new();
        for instance in self.instances.iter().filter(|instance| self.block(instance).kind == "target") {
            let label = self.label(instance);
            match renamed.iter_mut().find(|(known, _)| known == label) {
                Some((_, names)) if names.contains(&instance.name) => {}
                Some((_, names)) => names.push(instance.name.clone()),
                None => renamed.push((label.to_owned(), vec![instance.name.clone()])),
            }
        }
        renamed.retain(|(label, names)| names.as_slice() != [label.clone()]);
        renamed
    }

    fn evaluator(&self) -> Evaluator<'_> {
        Evaluator::new(self)
    }

    fn block(&self, instance: &Instance) -> &'d Block {
        &self.definition.blocks[instance.block]
    }

    fn label(&self, instance: &Instance) -> &'d str {
        self.block(instance).labels.first().map_or("", |(label, _)| label)
    }

    fn said(&self, index: usize, instance: &Instance) -> Result<Said> {
        let block = self.block(instance);
        let (mut said, mut places) = (Settings::default(), BTreeMap::new());
        for attribute in &block.body.attributes {
            let kind = match (block.kind.as_str(), attribute.name.as_str()) {
                (_, "matrix" | "name") => continue,
                ("group", "targets") => settings::Kind::List,
                (_, name) => settings::kind(name).unwrap_or(settings::Kind::Text),
            };
            let value = self.attribute(index, &attribute.name)?.unwrap_or(Value::Null);
            places.insert(attribute.name.clone(), attribute.value.place);
            if let Some(setting) = settings::read(&attribute.name, kind, &value, attribute.value.place)? {
                said.set(&attribute.name, setting);
            }
        }
        let place = block.labels.first().map_or(block.place, |(_, place)| *place);
        Ok(Said { name: instance.name.clone(), place, settings: said, places })
    }

    /// An attribute of an instance.
    fn attribute(&self, index: usize, name: &str) -> Result<Option<Value>> {
        let key = (index, name.to_owned());
        if let Some(value) = self.members.borrow().get(&key) {
            return Ok(Some(value.clone()));
        }
        let instance = &self.instances[index];
        let Some(attribute) = self.block(instance).body.attribute(name) else { return Ok(None) };
        let label = format!("{}.{}.{name}", self.block(instance).kind, instance.name);
        let value = self.waiting_for(label, attribute.value.place, || {
            self.evaluator().value(&attribute.value, &Scope::of(&instance.names))
        })?;
        self.members.borrow_mut().insert(key, value.clone());
        Ok(Some(value))
    }

    /// Does what may ask for itself again.
    fn waiting_for<T>(&self, label: String, place: Place, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let cycle = {
            let waiting = self.waiting.borrow();
            let start = waiting.iter().position(|one| *one == label);
            start.map(|start| waiting[start..].iter().chain([&label]).cloned().collect::<Vec<_>>().join(" → "))
        };
        if let Some(cycle) = cycle {
            return Err(Complaint::at(place, format!("`{label}` waits for itself")).note(cycle));
        }
        self.waiting.borrow_mut().push(label);
        let done = work();
        self.waiting.borrow_mut().pop();
        done
    }

    fn instances_of(&self, index: usize, block: &Block) -> Result<Vec<Instance>> {
        let (label, place) = block.labels.first().cloned().unwrap_or_else(|| (String::new(), block.place));
        let name = block.body.attribute("name");
        let Some(matrix) = block.body.attribute("matrix") else {
            if let Some(name) = name {
                return Err(Complaint::at(name.place, "`name` needs a `matrix`")
                    .help("without one the name is what stands behind `target`"));
            }
            check_name(&label, place)?;
            return Ok(vec![Instance { block: index, name: label, names: BTreeMap::new() }]);
        };
        check_name(&label, place)?;
        let Value::Map(axes) = self.evaluator().value(&matrix.value, &Scope::default())? else {
            return Err(Complaint::at(matrix.value.place, "a matrix is a map of lists")
                .help("matrix = { name = [\"a\", \"b\"] }"));
        };
        let mut all = vec![BTreeMap::new()];
        for (axis, values) in &axes {
            let values: Vec<Value> = match values {
                Value::List(values) | Value::Set(values) => values.clone(),
                Value::Map(values) => values.values().cloned().collect(),
                other => {
                    let title = format!("`{axis}` is {}: the values of a matrix are lists", other.kind());
                    return Err(Complaint::at(matrix.value.place, title));
                }
            };
            let with = |value: &Value| {
                let value = value.clone();
                all.iter().map(move |names: &BTreeMap<String, Value>| {
                    let mut names = names.clone();
                    names.insert(axis.clone(), value.clone());
                    names
                })
            };
            all = values.iter().flat_map(with).collect();
        }
        let mut instances: Vec<Instance> = Vec::new();
        for names in all {
            let (called, at) = match name {
                Some(name) => (self.evaluator().words(&name.value, &Scope::of(&names))?, name.value.place),
                None => (label.clone(), place),
            };
            check_name(&called, at)?;
            if instances.iter().any(|known| known.name == called) {
                let complaint = Complaint::at(at, format!("two targets of this matrix are called `{called}`"));
                return Err(complaint.help("name = … is to have all of the matrix's names in it"));
            }
            instances.push(Instance { block: index, name: called, names });
        }
        Ok(instances)
    }

    fn validate(&self) -> Result<()> {
        for (name, variable) in &self.definition.variables {
            if !self.outside.builtin.contains_key(name) {
                self.variable(name, variable.place)?;
            }
        }
        for (name, variable) in &self.definition.variables {
            for (condition, message) in &variable.validations {
                if !self.evaluator().truth(condition, &Scope::default())? {
                    let said = self.evaluator().words(message, &Scope::default())?;
                    return Err(Complaint::at(condition.place, format!("the variable {name} is not valid: {said}")));
                }
            }
        }
        Ok(())
    }

    /// A variable's value, from outside or from the file.
    fn find(&self, name: &str) -> Result<Option<Value>> {
        let (global, variable) = (self.definition.attributes.get(name), self.definition.variables.get(name));
        if global.is_none() && variable.is_none() {
            return Ok(None);
        }
        let constraint = variable.and_then(|variable| variable.constraint.as_ref());
        let constraint = constraint.map(super::types::Type::parse).transpose()?;
        let default = global.map(|global| &global.value).or_else(|| variable.and_then(|one| one.default.as_ref()));
        let mut value = None;
        if let Some(default) = default {
            let written = self.evaluator().value(default, &Scope::default())?;
            value = Some(match &constraint {
                Some(constraint) => constraint.convert(&written).map_err(|reason| {
                    Complaint::at(default.place, format!("the default of {name} is not of its type: {reason}"))
                })?,
                None => written,
            });
        }
        if let Some(variable) = variable
            && let Some(given) =
                super::variables::given(name, (constraint.as_ref(), value.as_ref()), &|name| self.outside_value(name))
        {
            let wrong =
                |reason| Complaint::at(variable.place, format!("the value given for {name} is not one: {reason}"));
            return given.map(Some).map_err(wrong);
        }
        Ok(Some(value.unwrap_or(if constraint.is_some() { Value::Null } else { Value::text("") })))
    }

    fn outside_value(&self, name: &str) -> Option<String> {
        // What is a variable of its own says nothing about another.
        let own = name.ends_with("_JSON")
            && (self.definition.variables.contains_key(name) || self.outside.builtin.contains_key(name));
        if own && self.waiting.borrow().last().is_none_or(|last| last != name) {
            None
        } else {
            (self.outside.lookup)(name)
        }
    }
}

fn check_name(name: &str, place: Place) -> Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.is_empty() && name.chars().all(fine) {
        return Ok(());
    }
    let complaint = Complaint::at(place, format!("`{name}` cannot be the name of a target"));
    Err(complaint.help("names have letters, digits, `_` and `-`; sanitize(…) makes one of any text"))
}

impl Names for Resolver<'_> {
    fn variable(&self, name: &str, place: Place) -> Result<Value> {
        if let Some(value) = self.outside.builtin.get(name) {
            return Ok(Value::text(value.clone()));
        }
        if let Some(value) = self.values.borrow().get(name) {
            return Ok(value.clone());
        }
        if matches!(name, "target" | "group") {
            return Err(Complaint::at(place, format!("`{name}` alone has no value"))
                .help(format!("name one: {name}.NAME.ATTRIBUTE")));
        }
        match self.waiting_for(name.to_owned(), place, || self.find(name))? {
            Some(value) => {
                self.values.borrow_mut().insert(name.to_owned(), value.clone());
                Ok(value)
            }
            None => {
                let known = self.definition.variables.keys().chain(self.definition.attributes.keys());
                let known = known.chain(self.outside.builtin.keys()).map(String::as_str);
                let complaint = Complaint::at(place, format!("there is no variable `{name}`")).nearest(name, known);
                let hint = format!("variables are declared: variable \"{name}\" {{ default = \"\" }}");
                Err(if (self.outside.lookup)(name).is_some() {
                    complaint.note("the environment has one, but the file does not take it").help(hint)
                } else {
                    complaint.help(hint)
                })
            }
        }
    }

    fn member(&self, kind: &str, (name, attribute): (&str, Option<&str>), place: Place) -> Option<Result<Value>> {
        if !matches!(kind, "target" | "group") {
            return None;
        }
        if !self.named {
            let complaint = Complaint::at(place, format!("{kind}s cannot be asked for what names {kind}s"));
            return Some(Err(complaint.help("put the value into a variable, and use that in both places")));
        }
        let of_kind = || self.instances.iter().enumerate().filter(|(_, one)| self.block(one).kind == kind);
        let found: Vec<usize> = of_kind().filter(|(_, one)| one.name == name).map(|(index, _)| index).collect();
        if found.is_empty() {
            let known = of_kind().map(|(_, one)| one.name.as_str());
            return Some(Err(Complaint::at(place, format!("there is no {kind} `{name}`")).nearest(name, known)));
        }
        Some(match attribute {
            Some(attribute) => self.member_attribute(kind, &found, attribute, place),
            None => settings::names()
                .map(|name| Ok((name.to_owned(), self.member_attribute(kind, &found, name, place)?)))
                .collect::<Result<_>>()
                .map(Value::Map),
        })
    }

    fn function(&self, name: &str, arguments: &[Value], place: Place) -> Option<Result<Value>> {
        let function = self.definition.functions.get(name)?;
        let (least, most) =
            (function.parameters.len(), function.variadic.is_none().then_some(function.parameters.len()));
        if arguments.len() < least || most.is_some_and(|most| arguments.len() > most) {
            let wanted = if most.is_some() { format!("{least}") } else { format!("at least {least}") };
            let title = format!("`{name}` takes {wanted} arguments, not {}", arguments.len());
            return Some(Err(Complaint::at(place, title)));
        }
        let mut names: BTreeMap<String, Value> =
            function.parameters.iter().cloned().zip(arguments.iter().cloned()).collect();
        if let Some(rest) = &function.variadic {
            names.insert(rest.clone(), Value::List(arguments[least..].to_vec()));
        }
        Some(self.waiting_for(format!("{name}()"), function.place, || {
            self.evaluator().value(&function.result, &Scope::of(&names))
        }))
    }

    fn functions(&self) -> Vec<String> {
        self.definition.functions.keys().cloned().collect()
    }
}

impl Resolver<'_> {
    /// Of several blocks of a name the last that says something counts.
    fn member_attribute(&self, kind: &str, found: &[usize], attribute: &str, place: Place) -> Result<Value> {
        let known: Vec<&str> = match kind {
            "group" => vec!["targets", "description"],
            _ => settings::names().collect(),
        };
        if !known.contains(&attribute) && kind == "target" {
            return Err(
                Complaint::at(place, format!("a {kind} has no attribute `{attribute}`")).nearest(attribute, known)
            );
        }
        for index in found.iter().rev() {
            if let Some(value) = self.attribute(*index, attribute)? {
                return Ok(value);
            }
        }
        Ok(Value::Null)
    }
}
