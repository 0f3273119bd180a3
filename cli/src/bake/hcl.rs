//! Bake files in HCL. The grammar is `hcl-edit`'s; this makes [`Body`] of what it finds.

use std::ops::Range;

use hcl_edit::expr::{self, BinaryOperator, Expression as Hcl, TraversalOperator, UnaryOperator};
use hcl_edit::parser;
use hcl_edit::structure::{self, BlockLabel, Structure};
use hcl_edit::template::{Directive, Element, Strip, Template};
use hcl_edit::{Decorated, Ident, Span as _};

use super::number::Number;
use super::place::{BakeFile, Complaint, Place, Result};
use super::syntax::{Attribute, Block, Body, Call, Expression, For, Loop, Operator, Piece, Step, What};
use super::value::Value;

/// Reads a file.
pub fn parse(file: usize, source: &BakeFile) -> Result<Body> {
    let body = parser::parse_body(&source.text).map_err(|error| wrong(file, 0, &error))?;
    Reader { file, offset: Offset::Exact(0), text: &source.text }.body(&body)
}

/// Reads the template that a string of a JSON file is. `place` is the string's, without its quotes; `exact` when it has no
/// escapes, so that places inside it can be told.
pub fn template(text: &str, place: Place, exact: bool) -> Result<Expression> {
    let offset = if exact { Offset::Exact(place.span.start) } else { Offset::Whole(place) };
    let template = parser::parse_template(text).map_err(|error| match offset {
        Offset::Exact(start) => wrong(place.file, start, &error),
        Offset::Whole(place) => Complaint::at(place, format!("this text cannot be read: {}", error.message())),
    })?;
    let what = Reader { file: place.file, offset, text }.pieces(&template).map(unwrapped)?;
    Ok(Expression { place, what })
}

/// Reads the expression that a string of a JSON file is, where it is to be one.
pub fn expression(text: &str, place: Place) -> Option<Expression> {
    let parsed = parser::parse_expr(text).ok()?;
    Reader { file: place.file, offset: Offset::Whole(place), text }.expression(&parsed).ok()
}

fn wrong(file: usize, start: usize, error: &parser::Error) -> Box<Complaint> {
    let at = start + error.location().offset();
    Complaint::at(Place::new(file, at..at + 1), "this is not HCL").expected(error.message())
}

/// A template that is one expression has its value, not its text.
fn unwrapped(mut pieces: Vec<Piece>) -> What {
    match pieces.as_slice() {
        [] => What::Literal(Value::text("")),
        [Piece::Text(text)] => What::Literal(Value::text(text.clone())),
        _ if pieces.iter().all(|piece| matches!(piece, Piece::Text(_))) => {
            let texts = pieces.iter().filter_map(|piece| match piece {
                Piece::Text(text) => Some(text.as_str()),
                Piece::Value(_) | Piece::If(..) | Piece::For(..) => None,
            });
            What::Literal(Value::text(texts.collect::<String>()))
        }
        [Piece::Value(_)] => match pieces.pop() {
            Some(Piece::Value(value)) => value.what,
            Some(_) | None => What::Template(pieces),
        },
        _ => What::Template(pieces),
    }
}

/// Where the text that was parsed stands in its file.
#[derive(Clone, Copy)]
enum Offset {
    Exact(usize),
    Whole(Place),
}

struct Reader<'t> {
    file: usize,
    offset: Offset,
    text: &'t str,
}

impl Reader<'_> {
    fn place(&self, range: Option<Range<usize>>) -> Place {
        match (self.offset, range) {
            (Offset::Exact(start), Some(range)) => {
                // Some nodes have the space before them.
                let text = self.text.get(range.clone()).unwrap_or_default();
                let from = range.start + text.len() - text.trim_start().len();
                let to = range.end - (text.len() - text.trim_end().len());
                Place::new(self.file, start + from..start + to.max(from))
            }
            (Offset::Exact(start), None) => Place::new(self.file, start..start),
            (Offset::Whole(place), _) => place,
        }
    }

    fn name(&self, name: &Decorated<Ident>) -> (String, Place) {
        (name.as_str().to_owned(), self.place(name.span()))
    }

    fn body(&self, body: &structure::Body) -> Result<Body> {
        let mut read = Body::default();
        for one in body {
            match one {
                Structure::Attribute(attribute) => {
                    let (name, place) = self.name(&attribute.key);
                    if read.attribute(&name).is_some() {
                        return Err(Complaint::at(place, format!("`{name}` is set twice here"))
                            .help("a block takes each attribute once: leave one of them out"));
                    }
                    read.attributes.push(Attribute { name, place, value: self.expression(&attribute.value)? });
                }
                Structure::Block(block) => {
                    let (kind, place) = self.name(&block.ident);
                    let labels = block.labels.iter().map(|label| match label {
                        BlockLabel::Ident(name) => self.name(name),
                        BlockLabel::String(text) => (text.as_str().to_owned(), self.place(text.span())),
                    });
                    let labels = labels.collect();
                    read.blocks.push(Block { kind, place, labels, body: self.body(&block.body)? });
                }
            }
        }
        Ok(read)
    }

    fn expressions<'e>(&self, all: impl IntoIterator<Item = &'e Hcl>) -> Result<Vec<Expression>> {
        all.into_iter().map(|one| self.expression(one)).collect()
    }

    fn boxed(&self, one: &Hcl) -> Result<Box<Expression>> {
        self.expression(one).map(Box::new)
    }

    fn expression(&self, hcl: &Hcl) -> Result<Expression> {
        let place = self.place(hcl.span());
        let what = match hcl {
            Hcl::Null(_) => What::Literal(Value::Null),
            Hcl::Bool(truth) => What::Literal(Value::Bool(*truth.value())),
            Hcl::Number(number) => {
                let written = number.value().to_string();
                let number = Number::parse(&written).ok_or_else(|| Complaint::at(place, "this number is too large"))?;
                What::Literal(Value::Number(number))
            }
            Hcl::String(text) => What::Literal(Value::text(text.as_str())),
            Hcl::Array(array) => What::List(self.expressions(array.iter())?),
            Hcl::Object(object) => What::Map(self.entries(object)?),
            Hcl::StringTemplate(template) => unwrapped(self.pieces(template)?),
            Hcl::HeredocTemplate(heredoc) => match heredoc.indent() {
                Some(_) => What::Template(self.dedented(&heredoc.template)?),
                None => What::Template(self.pieces(&heredoc.template)?),
            },
            Hcl::Parenthesis(inner) => return Ok(Expression { place, ..self.expression(inner.inner())? }),
            Hcl::Variable(name) => What::Name(name.as_str().to_owned()),
            Hcl::Conditional(choice) => What::Choice(Box::new([
                self.expression(&choice.cond_expr)?,
                self.expression(&choice.true_expr)?,
                self.expression(&choice.false_expr)?,
            ])),
            Hcl::FuncCall(call) => What::Call(Box::new(self.call(call)?)),
            Hcl::Traversal(traversal) => self.steps(traversal)?,
            Hcl::UnaryOp(unary) => {
                let inner = self.boxed(&unary.expr)?;
                match unary.operator.value() {
                    UnaryOperator::Neg => What::Minus(inner),
                    UnaryOperator::Not => What::Not(inner),
                }
            }
            Hcl::BinaryOp(binary) => {
                let sides = [self.expression(&binary.lhs_expr)?, self.expression(&binary.rhs_expr)?];
                What::Binary(operator(*binary.operator.value()), Box::new(sides))
            }
            Hcl::ForExpr(each) => What::For(Box::new(self.each(each)?)),
        };
        Ok(Expression { place, what })
    }

    fn entries(&self, object: &expr::Object) -> Result<Vec<(Expression, Expression)>> {
        let entry = |(key, value): (&expr::ObjectKey, &expr::ObjectValue)| {
            let key = match key {
                expr::ObjectKey::Ident(name) => {
                    let (name, place) = self.name(name);
                    Expression { place, what: What::Literal(Value::text(name)) }
                }
                // A bare word is a name; only in parentheses it is a variable.
                expr::ObjectKey::Expression(Hcl::Variable(name)) => {
                    let (name, place) = self.name(name);
                    Expression { place, what: What::Literal(Value::text(name)) }
                }
                expr::ObjectKey::Expression(key) => self.expression(key)?,
            };
            Ok((key, self.expression(value.expr())?))
        };
        object.iter().map(entry).collect()
    }

    fn call(&self, call: &expr::FuncCall) -> Result<Call> {
        let (name, place) = self.name(&call.name.name);
        if call.name.is_namespaced() {
            return Err(Complaint::at(place, format!("there is no function {name} in a namespace")));
        }
        let arguments = self.expressions(call.args.iter())?;
        Ok(Call { name, place, arguments, spread: call.args.expand_final() })
    }

    fn steps(&self, traversal: &expr::Traversal) -> Result<What> {
        let step = |operator: &Decorated<TraversalOperator>| {
            Ok(match operator.value() {
                TraversalOperator::AttrSplat(_) => Step::AttributeSplat,
                TraversalOperator::FullSplat(_) => Step::FullSplat,
                TraversalOperator::GetAttr(name) => {
                    let (name, place) = self.name(name);
                    Step::Attribute(name, place)
                }
                TraversalOperator::Index(index) => Step::Index(self.expression(index)?),
                TraversalOperator::LegacyIndex(index) => {
                    let what = What::Literal(Value::int(i128::from(*index.value())));
                    Step::Index(Expression { place: self.place(operator.span()), what })
                }
            })
        };
        let steps = traversal.operators.iter().map(step).collect::<Result<Vec<_>>>()?;
        Ok(What::Steps(self.boxed(&traversal.expr)?, steps))
    }

    fn each(&self, each: &expr::ForExpr) -> Result<For> {
        Ok(For {
            each: Loop {
                key: each.intro.key_var.as_ref().map(|name| name.as_str().to_owned()),
                value: each.intro.value_var.as_str().to_owned(),
                over: self.expression(&each.intro.collection_expr)?,
            },
            key: each.key_expr.as_ref().map(|key| self.expression(key)).transpose()?,
            value: self.expression(&each.value_expr)?,
            condition: each.cond.as_ref().map(|condition| self.expression(&condition.expr)).transpose()?,
            grouped: each.grouping,
        })
    }

    fn pieces(&self, template: &Template) -> Result<Vec<Piece>> {
        let mut pieces = Vec::new();
        let mut trim_next = false;
        for element in template {
            match element {
                // A line at a time, since that is how far white space is stripped.
                Element::Literal(text) => {
                    for line in text.split_inclusive('\n') {
                        let line = if std::mem::take(&mut trim_next) { line.trim_start() } else { line };
                        pieces.push(Piece::Text(line.to_owned()));
                    }
                }
                Element::Interpolation(value) => {
                    strip_before(&mut pieces, value.strip);
                    pieces.push(Piece::Value(self.expression(&value.expr)?));
                    trim_next = strips_after(value.strip);
                }
                Element::Directive(directive) => trim_next = self.directive(directive, &mut pieces)?,
            }
        }
        Ok(pieces)
    }

    /// Adds a directive; says whether what follows it loses its leading space.
    fn directive(&self, directive: &Directive, pieces: &mut Vec<Piece>) -> Result<bool> {
        match directive {
            Directive::If(directive) => {
                strip_before(pieces, directive.if_expr.strip);
                let mut then = self.pieces(&directive.if_expr.template)?;
                strip_start(&mut then, directive.if_expr.strip);
                let mut otherwise = Vec::new();
                match &directive.else_expr {
                    Some(written) => {
                        strip_before(&mut then, written.strip);
                        otherwise = self.pieces(&written.template)?;
                        strip_start(&mut otherwise, written.strip);
                        strip_before(&mut otherwise, directive.endif_expr.strip);
                    }
                    None => strip_before(&mut then, directive.endif_expr.strip),
                }
                pieces.push(Piece::If(self.boxed(&directive.if_expr.cond_expr)?, then, otherwise));
                Ok(strips_after(directive.endif_expr.strip))
            }
            Directive::For(directive) => {
                let each = &directive.for_expr;
                strip_before(pieces, each.strip);
                let mut inner = self.pieces(&each.template)?;
                strip_start(&mut inner, each.strip);
                strip_before(&mut inner, directive.endfor_expr.strip);
                let over = Loop {
                    key: each.key_var.as_ref().map(|name| name.as_str().to_owned()),
                    value: each.value_var.as_str().to_owned(),
                    over: self.expression(&each.collection_expr)?,
                };
                pieces.push(Piece::For(Box::new(over), inner));
                Ok(strips_after(directive.endfor_expr.strip))
            }
        }
    }

    /// The pieces of a `<<-` heredoc, without the indentation that all its lines have. It is counted in the source: what the
    /// parser did about it is not what HCL does where lines begin with an expression.
    fn dedented(&self, template: &Template) -> Result<Vec<Piece>> {
        let mut written = template.clone();
        for element in &mut written {
            if let Element::Literal(text) = element
                && let Some(source) = text.span().and_then(|span| self.text.get(span))
            {
                *text.as_mut() = source.replace("\r\n", "\n").replace("$${", "${").replace("%%{", "%{");
            }
        }
        let mut pieces = self.pieces(&written)?;
        let mut indent = Indent { least: usize::MAX, at_start: true };
        indent.measure(&pieces);
        indent.at_start = true;
        indent.remove(&mut pieces);
        Ok(pieces)
    }
}

/// Goes through a heredoc line by line, into its directives and out again.
struct Indent {
    /// The white space that all lines have.
    least: usize,
    /// Whether a line begins here.
    at_start: bool,
}

impl Indent {
    fn measure(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            match piece {
                Piece::Text(line) => {
                    if self.at_start && !blank(line) {
                        self.least = self.least.min(indentation(line));
                    }
                    self.at_start = line.ends_with('\n');
                }
                Piece::Value(_) => self.expression(),
                Piece::If(_, then, otherwise) => {
                    self.expression();
                    self.measure(then);
                    self.expression();
                    self.measure(otherwise);
                    self.expression();
                }
                Piece::For(_, inner) => {
                    self.expression();
                    self.measure(inner);
                    self.expression();
                }
            }
        }
    }

    /// What is no text at the beginning of a line has no white space before it.
    fn expression(&mut self) {
        self.least = if self.at_start { 0 } else { self.least };
        self.at_start = false;
    }

    fn remove(&mut self, pieces: &mut [Piece]) {
        for piece in pieces {
            match piece {
                Piece::Text(line) => {
                    let ends = line.ends_with('\n');
                    if self.at_start && !blank(line) {
                        line.drain(..self.least.min(indentation(line)));
                    }
                    self.at_start = ends;
                }
                Piece::Value(_) => self.at_start = false,
                Piece::If(_, then, otherwise) => {
                    self.at_start = false;
                    self.remove(then);
                    self.at_start = false;
                    self.remove(otherwise);
                    self.at_start = false;
                }
                Piece::For(_, inner) => {
                    self.at_start = false;
                    self.remove(inner);
                    self.at_start = false;
                }
            }
        }
    }
}

/// Whether the line is empty, whatever white space it has: such lines count for nothing.
fn blank(line: &str) -> bool {
    line.ends_with('\n') && line.trim().is_empty()
}

/// Bytes of white space before a line's text.
fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t']).len()
}

fn strips_after(strip: Strip) -> bool {
    matches!(strip, Strip::End | Strip::Both)
}

fn strip_before(pieces: &mut [Piece], strip: Strip) {
    if matches!(strip, Strip::Start | Strip::Both)
        && let Some(Piece::Text(text)) = pieces.last_mut()
    {
        text.truncate(text.trim_end().len());
    }
}

fn strip_start(pieces: &mut [Piece], strip: Strip) {
    if strips_after(strip)
        && let Some(Piece::Text(text)) = pieces.first_mut()
    {
        *text = text.trim_start().to_owned();
    }
}

fn operator(operator: BinaryOperator) -> Operator {
    match operator {
        BinaryOperator::Eq => Operator::Equal,
        BinaryOperator::NotEq => Operator::NotEqual,
        BinaryOperator::LessEq => Operator::LessOrEqual,
        BinaryOperator::GreaterEq => Operator::GreaterOrEqual,
        BinaryOperator::Less => Operator::Less,
        BinaryOperator::Greater => Operator::Greater,
        BinaryOperator::Plus => Operator::Plus,
        BinaryOperator::Minus => Operator::Minus,
        BinaryOperator::Mul => Operator::Times,
        BinaryOperator::Div => Operator::Divide,
        BinaryOperator::Mod => Operator::Modulo,
        BinaryOperator::And => Operator::And,
        BinaryOperator::Or => Operator::Or,
    }
}
