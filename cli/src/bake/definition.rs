//! What the files of a definition say together, before anything is evaluated: later files come over earlier ones.

use std::collections::BTreeMap;

use super::place::{Complaint, Place, Result};
use super::syntax::{Attribute, Block, Body, Expression, What};
use super::value::Value;

/// A variable as it is written.
#[derive(Debug)]
pub struct Variable {
    /// Where its name stands.
    pub place: Place,
    /// `type`
    pub constraint: Option<Expression>,
    /// `default`
    pub default: Option<Expression>,
    /// `description`
    pub description: Option<Expression>,
    /// Its `validation` blocks: what has to hold, and what to say otherwise.
    pub validations: Vec<(Expression, Expression)>,
}

/// A function as it is written.
#[derive(Debug)]
pub struct Function {
    /// Where its name stands.
    pub place: Place,
    /// Its parameters.
    pub parameters: Vec<String>,
    /// The parameter that takes all other arguments.
    pub variadic: Option<String>,
    /// What it gives.
    pub result: Expression,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Definition {
    /// `variable`
    pub variables: BTreeMap<String, Variable>,
    /// `function`
    pub functions: BTreeMap<String, Function>,
    /// Names with values at the top.
    pub attributes: BTreeMap<String, Attribute>,
    /// `target` and `group`, in order.
    pub blocks: Vec<Block>,
}

const BLOCKS: [&str; 4] = ["target", "group", "variable", "function"];

impl Definition {
    /// Adds a file.
    pub fn add(&mut self, body: Body) -> Result<()> {
        for attribute in body.attributes {
            // A block written as an attribute: `target = {…}` would silently be a variable.
            if BLOCKS.contains(&attribute.name.as_str()) {
                return Err(Complaint::at(attribute.place, format!("`{}` is a block", attribute.name))
                    .help(format!("write {} \"NAME\" {{ … }}, without `=`", attribute.name)));
            }
            self.attributes.insert(attribute.name.clone(), attribute);
        }
        for block in body.blocks {
            match block.kind.as_str() {
                "target" | "group" => {
                    label(&block)?;
                    self.blocks.push(block);
                }
                "variable" => {
                    let (name, place) = label(&block)?;
                    self.variables.insert(name, variable(place, block.body)?);
                }
                "function" => {
                    let (name, place) = label(&block)?;
                    self.functions.insert(name, function(place, &block.body)?);
                }
                other => {
                    return Err(
                        Complaint::at(block.place, format!("there are no blocks `{other}`")).nearest(other, BLOCKS)
                    );
                }
            }
        }
        Ok(())
    }
}

/// The one label of a block.
fn label(block: &Block) -> Result<(String, Place)> {
    match block.labels.as_slice() {
        [(name, place)] => Ok((name.clone(), *place)),
        [] => Err(Complaint::at(block.place, format!("this {} has no name", block.kind))
            .help(format!("write {} \"NAME\" {{ … }}", block.kind))),
        [_, (_, second), ..] => Err(Complaint::at(*second, format!("a {} has one name", block.kind))),
    }
}

/// Complains about an attribute that is not one of these.
pub fn only(body: &Body, of: &str, known: &[&str]) -> Result<()> {
    match body.attributes.iter().find(|attribute| !known.contains(&attribute.name.as_str())) {
        Some(Attribute { name, place, .. }) => {
            Err(Complaint::at(*place, format!("a {of} has no attribute `{name}`")).nearest(name, known.iter().copied()))
        }
        None => Ok(()),
    }
}

fn no_blocks(body: &Body, of: &str) -> Result<()> {
    match body.blocks.first() {
        Some(block) => Err(Complaint::at(block.place, format!("a {of} has no blocks `{}`", block.kind))
            .help(format!("as an attribute it is written with `=`: {} = …", block.kind))),
        None => Ok(()),
    }
}

fn variable(place: Place, mut body: Body) -> Result<Variable> {
    only(&body, "variable", &["default", "type", "description"])?;
    let mut validations = Vec::new();
    for block in std::mem::take(&mut body.blocks) {
        if block.kind != "validation" {
            return Err(Complaint::at(block.place, format!("a variable has no blocks `{}`", block.kind))
                .nearest(&block.kind, ["validation"]));
        }
        only(&block.body, "validation", &["condition", "error_message"])?;
        let part = |name: &str| {
            let missing = || Complaint::at(block.place, format!("this validation has no `{name}`"));
            block.body.attribute(name).map(|attribute| attribute.value.clone()).ok_or_else(missing)
        };
        validations.push((part("condition")?, part("error_message")?));
    }
    let mut take = |name: &str| {
        let at = body.attributes.iter().position(|attribute| attribute.name == name)?;
        Some(body.attributes.swap_remove(at).value)
    };
    // `type = null` is no type.
    let null = |type_: &Expression| matches!(type_.what, What::Literal(Value::Null));
    Ok(Variable {
        place,
        constraint: take("type").filter(|type_| !null(type_)),
        default: take("default"),
        description: take("description"),
        validations,
    })
}

fn function(place: Place, body: &Body) -> Result<Function> {
    only(body, "function", &["params", "variadic_params", "result"])?;
    no_blocks(body, "function")?;
    let Some(result) = body.attribute("result") else {
        return Err(Complaint::at(place, "this function has no `result`"));
    };
    let Some(Attribute { value: params, .. }) = body.attribute("params") else {
        return Err(Complaint::at(place, "this function has no `params`").help("write params = [] if it takes nothing"));
    };
    let What::List(params) = &params.what else {
        return Err(Complaint::at(params.place, "parameters are a list of names").help("write params = [a, b]"));
    };
    let variadic = body.attribute("variadic_params").map(|attribute| word(&attribute.value)).transpose()?;
    let parameters = params.iter().map(word).collect::<Result<_>>()?;
    Ok(Function { place, parameters, variadic, result: result.value.clone() })
}

/// A name, which JSON puts in quotes.
fn word(expression: &Expression) -> Result<String> {
    match &expression.what {
        What::Name(name) | What::Literal(Value::String(name)) => Ok(name.clone()),
        _ => Err(Complaint::at(expression.place, "a parameter is a name")),
    }
}

/// Complains about what a target or a group does not have.
pub fn check_block(block: &Block) -> Result<()> {
    no_blocks(&block.body, &block.kind)?;
    if block.kind == "group" {
        if let Some(attribute) = block.body.attribute("matrix").or_else(|| block.body.attribute("name")) {
            let title = format!("a group has no `{}`", attribute.name);
            return Err(
                Complaint::at(attribute.place, title).help("write the matrix in a target: it makes a group of its own")
            );
        }
        return only(&block.body, "group", &["targets", "description"]);
    }
    let known: Vec<&str> = super::settings::names().chain(["matrix", "name"]).collect();
    only(&block.body, "target", &known)
}
