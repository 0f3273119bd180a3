//! Bake files in JSON: the same schema, where strings are templates and blocks are objects by label.

use super::hcl;
use super::number::Number;
use super::place::{BakeFile, Complaint, Place, Result};
use super::syntax::{Attribute, Block, Body, Expression, What};
use super::value::Value;

/// Objects and lists nest no deeper than this.
const DEEPEST: usize = 64;

/// Reads a file.
pub fn parse(file: usize, source: &BakeFile) -> Result<Body> {
    let mut reader = Reader { file, text: &source.text, at: 0 };
    let node = reader.node(0)?;
    reader.space();
    if reader.at < reader.text.len() {
        return Err(reader.wrong("the end of the file"));
    }
    body(node, &["target", "group", "variable", "function"])
}

/// What stands in JSON, with its place.
struct Node {
    place: Place,
    what: Json,
}

enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text { text: String, escaped: bool },
    List(Vec<Node>),
    Map(Vec<(String, Place, Node)>),
}

/// The members named in `blocks` are blocks, the others attributes.
fn body(node: Node, blocks: &[&str]) -> Result<Body> {
    let mut body = Body::default();
    // Several objects may follow each other in a list.
    let objects = match node.what {
        Json::Map(members) => vec![members],
        Json::List(nodes) => {
            let object = |node: Node| match node.what {
                Json::Map(members) => Ok(members),
                _ => Err(Complaint::at(node.place, "this is not an object")),
            };
            nodes.into_iter().map(object).collect::<Result<_>>()?
        }
        _ => return Err(Complaint::at(node.place, "a definition is an object").expected("expected `{`")),
    };
    for (name, place, value) in objects.into_iter().flatten() {
        match name.as_str() {
            // A comment, as HCL's JSON has it.
            "//" => {}
            "validation" if blocks.contains(&"validation") => {
                let nodes = match value.what {
                    Json::List(nodes) => nodes,
                    _ => vec![value],
                };
                for node in nodes {
                    body.blocks.push(Block {
                        kind: name.clone(),
                        place,
                        labels: Vec::new(),
                        body: self::body(node, &[])?,
                    });
                }
            }
            kind if blocks.contains(&kind) => labelled(kind, place, value, &mut body.blocks)?,
            _ => {
                if body.attribute(&name).is_some() {
                    return Err(Complaint::at(place, format!("`{name}` is set twice here")));
                }
                body.attributes.push(Attribute { name, place, value: expression(value)? });
            }
        }
    }
    Ok(body)
}

/// `{"LABEL": {…}}`, or several of them.
fn labelled(kind: &str, place: Place, value: Node, blocks: &mut Vec<Block>) -> Result<()> {
    let inner: &[&str] = if kind == "variable" { &["validation"] } else { &[] };
    match value.what {
        Json::Map(members) => {
            for (label, at, node) in members {
                let nodes = match node.what {
                    Json::List(nodes) => nodes,
                    _ => vec![node],
                };
                for node in nodes {
                    let body = body(node, inner)?;
                    blocks.push(Block { kind: kind.to_owned(), place, labels: vec![(label.clone(), at)], body });
                }
            }
            Ok(())
        }
        Json::List(nodes) => nodes.into_iter().try_for_each(|node| labelled(kind, place, node, blocks)),
        _ => {
            Err(Complaint::at(value.place, format!("`{kind}` is an object of {kind}s by name"))
                .expected("expected `{`"))
        }
    }
}

fn expression(Node { place, what }: Node) -> Result<Expression> {
    let what = match what {
        Json::Null => What::Literal(Value::Null),
        Json::Bool(truth) => What::Literal(Value::Bool(truth)),
        Json::Number(number) => What::Literal(Value::Number(number)),
        Json::Text { text, escaped } => return text_expression(&text, place, escaped),
        Json::List(nodes) => What::List(nodes.into_iter().map(expression).collect::<Result<_>>()?),
        Json::Map(members) => {
            let entry =
                |(name, at, node): (String, Place, Node)| Ok((text_expression(&name, at, false)?, expression(node)?));
            What::Map(members.into_iter().map(entry).collect::<Result<_>>()?)
        }
    };
    Ok(Expression { place, what })
}

fn text_expression(text: &str, place: Place, escaped: bool) -> Result<Expression> {
    if !text.contains("${") && !text.contains("%{") {
        return Ok(Expression { place, what: What::Literal(Value::text(text)) });
    }
    let inside = Place::new(place.file, place.span.start + 1..place.span.end.saturating_sub(1));
    let read = hcl::template(text, inside, !escaped)?;
    Ok(Expression { place, what: read.what })
}

struct Reader<'t> {
    file: usize,
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn place(&self, start: usize) -> Place {
        Place::new(self.file, start..self.at)
    }

    fn wrong(&self, expected: &str) -> Box<Complaint> {
        let width = self.rest().chars().next().map_or(1, char::len_utf8);
        Complaint::at(Place::new(self.file, self.at..self.at + width), "this is not JSON")
            .expected(format!("expected {expected}"))
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn node(&mut self, depth: usize) -> Result<Node> {
        self.space();
        let start = self.at;
        if depth > DEEPEST {
            return Err(Complaint::at(self.place(start), "this nests too deep"));
        }
        let what = match self.rest().chars().next() {
            Some('{') => self.map(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => {
                let (text, escaped) = self.string()?;
                Json::Text { text, escaped }
            }
            Some('-' | '0'..='9') => {
                let rest = self.rest();
                let end = rest.find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'));
                let word = &rest[..end.unwrap_or(rest.len())];
                let number = Number::parse(word).ok_or_else(|| self.wrong("a number"))?;
                self.at += word.len();
                Json::Number(number)
            }
            _ if self.take("true") => Json::Bool(true),
            _ if self.take("false") => Json::Bool(false),
            _ if self.take("null") => Json::Null,
            _ => return Err(self.wrong("a value")),
        };
        Ok(Node { place: self.place(start), what })
    }

    fn list(&mut self, depth: usize) -> Result<Json> {
        self.at += 1;
        let mut nodes = Vec::new();
        self.space();
        if self.take("]") {
            return Ok(Json::List(nodes));
        }
        loop {
            nodes.push(self.node(depth + 1)?);
            self.space();
            if self.take("]") {
                return Ok(Json::List(nodes));
            }
            if !self.take(",") {
                return Err(self.wrong("`,` or `]`"));
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Json> {
        self.at += 1;
        let mut members = Vec::new();
        self.space();
        if self.take("}") {
            return Ok(Json::Map(members));
        }
        loop {
            self.space();
            let start = self.at;
            if !self.rest().starts_with('"') {
                return Err(self.wrong("a name in quotes"));
            }
            let (name, _) = self.string()?;
            let place = self.place(start);
            self.space();
            if !self.take(":") {
                return Err(self.wrong("`:`"));
            }
            members.push((name, place, self.node(depth + 1)?));
            self.space();
            if self.take("}") {
                return Ok(Json::Map(members));
            }
            if !self.take(",") {
                return Err(self.wrong("`,` or `}`"));
            }
        }
    }

    /// A string, and whether it has escapes.
    fn string(&mut self) -> Result<(String, bool)> {
        let mut escaped = false;
        let mut end = None;
        for (index, c) in self.rest().char_indices().skip(1) {
            match c {
                _ if escaped && end == Some(index) => end = None,
                '\\' => {
                    escaped = true;
                    end = Some(index + 1);
                }
                '"' => {
                    let written = &self.rest()[..=index];
                    // Strings may go over lines here; JSON itself wants the breaks escaped.
                    let tidy = written.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
                    let read = serde_json::from_str(&tidy).map_err(|_| self.wrong("a string with JSON's escapes"))?;
                    self.at += index + 1;
                    return Ok((read, escaped));
                }
                _ => {}
            }
        }
        Err(self.wrong("a string that ends"))
    }
}
