//! What expressions are worth.
//!
//! What names mean is somebody else's business ([`Names`]): they may be variables that wait for their own values. Nothing
//! here has side effects, so that a value may be asked for as often as it takes.

use std::collections::BTreeMap;

use super::functions::{self, Wrong};
use super::number::Number;
use super::place::{Complaint, Place, Result};
use super::syntax::{Call, Expression, For, Loop, Operator, Piece, Step, What};
use super::types::Type;
use super::value::Value;

/// What names mean.
pub trait Names {
    /// A variable.
    fn variable(&self, name: &str, place: Place) -> Result<Value>;
    /// What another block says: `target.app`, and of that one attribute. None when `kind` is no kind of block.
    fn member(&self, kind: &str, path: (&str, Option<&str>), place: Place) -> Option<Result<Value>>;
    /// A function that the definition makes. None when it makes none of that name.
    fn function(&self, name: &str, arguments: &[Value], place: Place) -> Option<Result<Value>>;
    /// The functions it makes, for suggestions.
    fn functions(&self) -> Vec<String>;
}

/// Names that mean something only inside an expression.
#[derive(Clone, Copy, Default)]
pub struct Scope<'s> {
    names: Option<&'s BTreeMap<String, Value>>,
    outer: Option<&'s Scope<'s>>,
}

impl<'s> Scope<'s> {
    /// These names, and nothing else but global ones.
    pub fn of(names: &'s BTreeMap<String, Value>) -> Self {
        Self { names: Some(names), outer: None }
    }

    fn within<'n>(&'n self, names: &'n BTreeMap<String, Value>) -> Scope<'n> {
        Scope { names: Some(names), outer: Some(self) }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.names.and_then(|names| names.get(name)).or_else(|| self.outer.and_then(|outer| outer.get(name)))
    }
}

/// Evaluates expressions.
#[derive(Clone, Copy)]
pub struct Evaluator<'e> {
    names: &'e dyn Names,
}

impl<'e> Evaluator<'e> {
    /// With these names.
    pub fn new(names: &'e dyn Names) -> Self {
        Self { names }
    }

    /// The value of an expression.
    pub fn value(&self, expression: &Expression, scope: &Scope<'_>) -> Result<Value> {
        let place = expression.place;
        match &expression.what {
            What::Literal(value) => Ok(value.clone()),
            What::Template(pieces) => self.text(pieces, scope).map(Value::String),
            What::List(all) => Ok(Value::List(all.iter().map(|one| self.value(one, scope)).collect::<Result<_>>()?)),
            What::Map(entries) => self.map(entries, scope),
            What::Name(name) => match scope.get(name) {
                Some(value) => Ok(value.clone()),
                None => self.names.variable(name, place),
            },
            What::Steps(root, steps) => self.steps(root, steps, scope),
            What::Call(call) => self.call(call, place, scope),
            What::Choice(choice) => self.choice(choice, scope),
            What::Not(inner) => Ok(Value::Bool(!self.truth(inner, scope)?)),
            What::Minus(inner) => {
                let number = self.number(inner, scope)?;
                calculated(Number::Int(0).combine(number, i128::checked_sub, |zero, value| zero - value), place)
            }
            What::Binary(operator, sides) => self.binary(*operator, sides, (place, scope)),
            What::For(each) => self.each(each, scope),
        }
    }

    /// As text, where nothing else will do.
    pub fn words(&self, expression: &Expression, scope: &Scope<'_>) -> Result<String> {
        let value = self.value(expression, scope)?;
        value.to_text().ok_or_else(|| mismatch(expression.place, "a string", &value))
    }

    /// As a condition.
    pub fn truth(&self, expression: &Expression, scope: &Scope<'_>) -> Result<bool> {
        let value = self.value(expression, scope)?;
        value.to_bool().ok_or_else(|| mismatch(expression.place, "true or false", &value))
    }

    fn number(&self, expression: &Expression, scope: &Scope<'_>) -> Result<Number> {
        let value = self.value(expression, scope)?;
        value.to_number().ok_or_else(|| mismatch(expression.place, "a number", &value))
    }

    fn map(&self, entries: &[(Expression, Expression)], scope: &Scope<'_>) -> Result<Value> {
        let entry = |(key, value): &(Expression, Expression)| Ok((self.words(key, scope)?, self.value(value, scope)?));
        Ok(Value::Map(entries.iter().map(entry).collect::<Result<_>>()?))
    }

    fn text(&self, pieces: &[Piece], scope: &Scope<'_>) -> Result<String> {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Value(expression) => {
                    let value = self.value(expression, scope)?;
                    let words = value.to_text().ok_or_else(|| {
                        let complaint =
                            Complaint::at(expression.place, format!("{} has no place in a text", value.kind()));
                        match value {
                            Value::Null => complaint,
                            _ => complaint.help("join(\",\", …) or jsonencode(…) make text of it"),
                        }
                    })?;
                    text.push_str(&words);
                }
                Piece::If(condition, then, otherwise) => {
                    let chosen = if self.truth(condition, scope)? { then } else { otherwise };
                    text.push_str(&self.text(chosen, scope)?);
                }
                Piece::For(each, inner) => {
                    for names in self.turns(each, scope)? {
                        text.push_str(&self.text(inner, &scope.within(&names))?);
                    }
                }
            }
        }
        Ok(text)
    }

    /// The names of each turn of a loop.
    fn turns(&self, each: &Loop, scope: &Scope<'_>) -> Result<Vec<BTreeMap<String, Value>>> {
        let over = self.value(&each.over, scope)?;
        let pairs = over.pairs().ok_or_else(|| mismatch(each.over.place, "a list or a map", &over))?;
        let turn = |(key, value): (Value, Value)| {
            let key = each.key.iter().map(|name| (name.clone(), key.clone()));
            key.chain([(each.value.clone(), value)]).collect()
        };
        Ok(pairs.into_iter().map(turn).collect())
    }

    fn each(&self, each: &For, scope: &Scope<'_>) -> Result<Value> {
        let (mut list, mut map, mut groups) = (Vec::new(), BTreeMap::new(), BTreeMap::<String, Vec<Value>>::new());
        for names in self.turns(&each.each, scope)? {
            let scope = scope.within(&names);
            if let Some(condition) = &each.condition
                && !self.truth(condition, &scope)?
            {
                continue;
            }
            let value = self.value(&each.value, &scope)?;
            let Some(key) = &each.key else {
                list.push(value);
                continue;
            };
            let name = self.words(key, &scope)?;
            if each.grouped {
                groups.entry(name).or_default().push(value);
            } else if map.insert(name.clone(), value).is_some() {
                return Err(Complaint::at(key.place, format!("the key `{name}` comes twice"))
                    .help("write `...` after the value to gather all values of a key in a list"));
            }
        }
        Ok(match (&each.key, each.grouped) {
            (None, _) => Value::List(list),
            (Some(_), false) => Value::Map(map),
            (Some(_), true) => Value::Map(groups.into_iter().map(|(key, all)| (key, Value::List(all))).collect()),
        })
    }

    /// Both sides count for what kind of value comes out: a string beside a number makes both strings.
    fn choice(&self, choice: &[Expression; 3], scope: &Scope<'_>) -> Result<Value> {
        let [condition, then, otherwise] = choice;
        let (chosen, other) = if self.truth(condition, scope)? { (then, otherwise) } else { (otherwise, then) };
        let value = self.value(chosen, scope)?;
        let text = matches!(value, Value::Number(_) | Value::Bool(_))
            && matches!(self.value(other, scope), Ok(Value::String(_)));
        Ok(if text { value.to_text().map_or(Value::Null, Value::String) } else { value })
    }

    fn binary(&self, operator: Operator, sides: &[Expression; 2], at: (Place, &Scope<'_>)) -> Result<Value> {
        let (place, scope) = at;
        let [left, right] = sides;
        let numbers = || -> Result<(Number, Number)> { Ok((self.number(left, scope)?, self.number(right, scope)?)) };
        let compared = |holds: fn(std::cmp::Ordering) -> bool| {
            let (left, right) = numbers()?;
            Ok(Value::Bool(holds(left.cmp(&right))))
        };
        match operator {
            Operator::Or => Ok(Value::Bool(self.truth(left, scope)? | self.truth(right, scope)?)),
            Operator::And => Ok(Value::Bool(self.truth(left, scope)? & self.truth(right, scope)?)),
            Operator::Equal => Ok(Value::Bool(same(&self.value(left, scope)?, &self.value(right, scope)?))),
            Operator::NotEqual => Ok(Value::Bool(!same(&self.value(left, scope)?, &self.value(right, scope)?))),
            Operator::Less => compared(std::cmp::Ordering::is_lt),
            Operator::LessOrEqual => compared(std::cmp::Ordering::is_le),
            Operator::Greater => compared(std::cmp::Ordering::is_gt),
            Operator::GreaterOrEqual => compared(std::cmp::Ordering::is_ge),
            Operator::Plus => {
                let (left, right) = numbers()?;
                calculated(left.combine(right, i128::checked_add, |left, right| left + right), place)
            }
            Operator::Minus => {
                let (left, right) = numbers()?;
                calculated(left.combine(right, i128::checked_sub, |left, right| left - right), place)
            }
            Operator::Times => {
                let (left, right) = numbers()?;
                calculated(left.combine(right, i128::checked_mul, |left, right| left * right), place)
            }
            Operator::Divide => {
                let (left, right) = numbers()?;
                calculated(left.divide(right), place)
            }
            Operator::Modulo => {
                let (left, right) = numbers()?;
                calculated(left.modulo(right), place)
            }
        }
    }

    fn steps(&self, root: &Expression, steps: &[Step], scope: &Scope<'_>) -> Result<Value> {
        if let What::Name(kind) = &root.what
            && scope.get(kind).is_none()
            && let Some((value, rest)) = self.other_block(kind, (root, steps), scope)?
        {
            return self.go(value, rest, scope);
        }
        let value = self.value(root, scope)?;
        self.go(value, steps, scope)
    }

    /// `target.NAME.attribute`, which asks for that attribute alone, so that blocks may refer to each other.
    fn other_block<'s>(
        &self,
        kind: &str,
        (root, steps): (&Expression, &'s [Step]),
        scope: &Scope<'_>,
    ) -> Result<Option<(Value, &'s [Step])>> {
        let Some((first, rest)) = steps.split_first() else { return Ok(None) };
        let (name, place) = match first {
            Step::Attribute(name, place) => (name.clone(), *place),
            Step::Index(index) => (self.words(index, scope)?, index.place),
            Step::AttributeSplat | Step::FullSplat => return Ok(None),
        };
        let (attribute, after) = match rest.split_first() {
            Some((Step::Attribute(attribute, at), after)) => (Some((attribute.as_str(), *at)), after),
            Some(_) | None => (None, rest),
        };
        let at = attribute.map_or(place, |(_, at)| at);
        let whole =
            Place { span: wharf_builder::dockerfile::Span { start: root.place.span.start, end: at.span.end }, ..at };
        let path = (name.as_str(), attribute.map(|(attribute, _)| attribute));
        self.names.member(kind, path, whole).map(|value| Ok((value?, after))).transpose()
    }

    fn go(&self, mut value: Value, steps: &[Step], scope: &Scope<'_>) -> Result<Value> {
        for (index, step) in steps.iter().enumerate() {
            let rest = &steps[index + 1..];
            value = match step {
                Step::Attribute(name, place) => attribute(&value, name, *place)?,
                Step::Index(key) => indexed(&value, &self.value(key, scope)?, key.place)?,
                Step::AttributeSplat | Step::FullSplat => {
                    let attributes = rest.iter().take_while(|step| matches!(step, Step::Attribute(..))).count();
                    let through = if matches!(step, Step::AttributeSplat) { attributes } else { rest.len() };
                    let (each, after) = rest.split_at(through);
                    // A single value is a list of one, and nothing one of none.
                    let all = match value {
                        Value::Null => Vec::new(),
                        Value::List(all) | Value::Set(all) => all,
                        one => vec![one],
                    };
                    let all = all.into_iter().map(|one| self.go(one, each, scope)).collect::<Result<_>>()?;
                    return self.go(Value::List(all), after, scope);
                }
            };
        }
        Ok(value)
    }

    fn call(&self, call: &Call, place: Place, scope: &Scope<'_>) -> Result<Value> {
        match (call.name.as_str(), call.arguments.as_slice()) {
            ("can", [only]) => return Ok(Value::Bool(self.value(only, scope).is_ok())),
            ("try", [_, ..]) => {
                let mut last = None;
                for argument in &call.arguments {
                    match self.value(argument, scope) {
                        Ok(value) => return Ok(value),
                        Err(complaint) => last = Some(complaint),
                    }
                }
                let complaint = Complaint::at(place, "none of what is tried here has a value");
                return Err(match last {
                    Some(last) => complaint.note(last.title()),
                    None => complaint,
                });
            }
            ("convert", [value, wanted]) => {
                let wanted_type = Type::parse(wanted)?;
                let value = self.value(value, scope)?;
                return wanted_type.convert(&value).map_err(|reason| Complaint::at(place, reason));
            }
            _ => {}
        }
        let (mut arguments, mut places) = (Vec::new(), Vec::new());
        for (index, argument) in call.arguments.iter().enumerate() {
            let value = self.value(argument, scope)?;
            if call.spread && index + 1 == call.arguments.len() {
                let all = value.elements().ok_or_else(|| mismatch(argument.place, "a list", &value))?;
                places.extend(all.iter().map(|_| argument.place));
                arguments.extend(all.iter().cloned());
            } else {
                places.push(argument.place);
                arguments.push(value);
            }
        }
        if let Some(function) = functions::find(&call.name) {
            return function(&arguments).map_err(|Wrong { argument, reason }| {
                let at = argument.and_then(|index| places.get(index)).copied().unwrap_or(place);
                Complaint::at(at, format!("{}: {reason}", call.name))
            });
        }
        self.names.function(&call.name, &arguments, place).unwrap_or_else(|| {
            let own = self.names.functions();
            let mut known: Vec<&str> = functions::names().collect();
            known.extend(own.iter().map(String::as_str));
            Err(Complaint::at(call.place, format!("there is no function `{}`", call.name)).nearest(&call.name, known))
        })
    }
}

/// Equal as HCL has it: numbers and texts are different, and so are a list and a set.
fn same(left: &Value, right: &Value) -> bool {
    left == right
}

fn calculated(number: Option<Number>, place: Place) -> Result<Value> {
    number.map(Value::Number).ok_or_else(|| Complaint::at(place, "this is no number: a division by zero, or too large"))
}

fn mismatch(place: Place, wanted: &str, value: &Value) -> Box<Complaint> {
    Complaint::at(place, format!("this is {}, and is to be {wanted}", value.kind()))
}

fn attribute(value: &Value, name: &str, place: Place) -> Result<Value> {
    match value {
        Value::Map(map) => map.get(name).cloned().ok_or_else(|| {
            Complaint::at(place, format!("there is no `{name}` in it")).nearest(name, map.keys().map(String::as_str))
        }),
        other => Err(Complaint::at(place, format!("this is {}, which has no attributes", other.kind()))),
    }
}

fn indexed(value: &Value, key: &Value, place: Place) -> Result<Value> {
    match value {
        Value::Map(map) => {
            let name = key.to_text().ok_or_else(|| mismatch(place, "a string", key))?;
            map.get(&name).cloned().ok_or_else(|| {
                Complaint::at(place, format!("there is no `{name}` in it"))
                    .nearest(&name, map.keys().map(String::as_str))
            })
        }
        Value::List(list) => {
            let number = key.to_number().ok_or_else(|| mismatch(place, "a number", key))?;
            let found = number.index().and_then(|index| list.get(index)).cloned();
            found.ok_or_else(|| {
                Complaint::at(place, format!("there is no element {number}: the list has {}", list.len()))
            })
        }
        Value::Set(_) => Err(Complaint::at(place, "a set has no order, so it has no elements by number")),
        other => Err(Complaint::at(place, format!("{} has no elements", other.kind()))),
    }
}
