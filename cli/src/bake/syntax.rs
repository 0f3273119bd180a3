//! What a bake file says, whichever syntax it says it in: attributes, blocks and expressions, each with its place.

use super::place::Place;
use super::value::Value;

/// What stands between the braces of a block, or in a file.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// `NAME = VALUE`
    pub attributes: Vec<Attribute>,
    /// `TYPE "LABEL" { … }`
    pub blocks: Vec<Block>,
}

/// A name with a value.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// The name.
    pub name: String,
    /// Where the name stands.
    pub place: Place,
    /// The value.
    pub value: Expression,
}

/// A block.
#[derive(Clone, Debug)]
pub struct Block {
    /// What it is: `target`, `group`, …
    pub kind: String,
    /// Where that word stands.
    pub place: Place,
    /// Its labels with their places.
    pub labels: Vec<(String, Place)>,
    /// What is in it.
    pub body: Body,
}

impl Body {
    /// The attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expression {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub what: What,
}

/// The kinds of expressions.
#[derive(Clone, Debug)]
pub enum What {
    /// A literal.
    Literal(Value),
    /// Text with expressions in it.
    Template(Vec<Piece>),
    /// `[a, b]`
    List(Vec<Expression>),
    /// `{ a = b }`
    Map(Vec<(Expression, Expression)>),
    /// A variable.
    Name(String),
    /// `a.b[0].*.c`
    Steps(Box<Expression>, Vec<Step>),
    /// `f(a, b...)`
    Call(Box<Call>),
    /// `a ? b : c`
    Choice(Box<[Expression; 3]>),
    /// `!a`
    Not(Box<Expression>),
    /// `-a`
    Minus(Box<Expression>),
    /// `a + b`
    Binary(Operator, Box<[Expression; 2]>),
    /// `[for a in b : c if d]`
    For(Box<For>),
}

/// A call of a function.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function.
    pub name: String,
    /// Where its name stands.
    pub place: Place,
    /// What it gets.
    pub arguments: Vec<Expression>,
    /// Whether the last argument is a list of arguments.
    pub spread: bool,
}

/// A piece of a template.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// `${…}`
    Value(Expression),
    /// `%{ if … }`
    If(Box<Expression>, Vec<Piece>, Vec<Piece>),
    /// `%{ for … }`
    For(Box<Loop>, Vec<Piece>),
}

/// What a `for` goes through.
#[derive(Clone, Debug)]
pub struct Loop {
    /// The name of the key.
    pub key: Option<String>,
    /// The name of the value.
    pub value: String,
    /// The list or map.
    pub over: Expression,
}

/// A `for` expression.
#[derive(Clone, Debug)]
pub struct For {
    /// What it goes through.
    pub each: Loop,
    /// The keys of the map it makes; a list without.
    pub key: Option<Expression>,
    /// What it makes.
    pub value: Expression,
    /// Which it leaves out.
    pub condition: Option<Expression>,
    /// Whether values of one key become a list.
    pub grouped: bool,
}

/// A step into a value.
#[derive(Clone, Debug)]
pub enum Step {
    /// `.name`
    Attribute(String, Place),
    /// `[index]`
    Index(Expression),
    /// `.*`, which attributes after it go through
    AttributeSplat,
    /// `[*]`, which all steps after it go through
    FullSplat,
}

/// What stands between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
}
