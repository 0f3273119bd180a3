//! The functions that every bake file has: one table, and a file for each kind.
//!
//! `try`, `can` and `convert` are not here: they look at expressions, not at values.

mod collections;
mod encoding;
mod format;
mod networks;
mod numbers;
mod paths;
mod patterns;
mod sets;
mod text;
mod times;
mod versions;

use std::collections::BTreeMap;

use super::number::Number;
use super::value::Value;

/// Why a function gives nothing.
#[derive(Debug)]
pub struct Wrong {
    /// The argument that is to blame.
    pub argument: Option<usize>,
    /// What about it.
    pub reason: String,
}

impl From<String> for Wrong {
    fn from(reason: String) -> Self {
        Self { argument: None, reason }
    }
}

impl From<&str> for Wrong {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

/// What a function gives.
pub type Given = Result<Value, Wrong>;
/// A function.
pub type Function = fn(&[Value]) -> Given;

/// A function by its name.
pub fn find(name: &str) -> Option<Function> {
    TABLE.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
}

/// The names of all of them.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name).chain(["can", "convert", "try"])
}

const TABLE: [(&str, Function); 106] = [
    ("absolute", numbers::absolute),
    ("add", numbers::add),
    ("and", numbers::and),
    ("base64decode", encoding::base64_decode),
    ("base64encode", encoding::base64_encode),
    ("basename", paths::basename),
    ("bcrypt", encoding::bcrypt_hash),
    ("byteslen", text::byteslen),
    ("bytesslice", text::bytesslice),
    ("ceil", numbers::ceil),
    ("chomp", text::chomp),
    ("chunklist", collections::chunklist),
    ("cidrhost", networks::host),
    ("cidrnetmask", networks::netmask),
    ("cidrsubnet", networks::subnet),
    ("cidrsubnets", networks::subnets),
    ("coalesce", collections::coalesce),
    ("coalescelist", collections::coalescelist),
    ("compact", collections::compact),
    ("concat", collections::concat),
    ("contains", collections::contains),
    ("csvdecode", encoding::csv_decode),
    ("dirname", paths::dirname),
    ("distinct", collections::distinct),
    ("divide", numbers::divide),
    ("element", collections::element),
    ("equal", numbers::equal),
    ("flatten", collections::flatten),
    ("floor", numbers::floor),
    ("format", format::format),
    ("formatdate", times::formatdate),
    ("formatlist", format::formatlist),
    ("formattimestamp", times::formattimestamp),
    ("greaterthan", numbers::greater),
    ("greaterthanorequalto", numbers::greater_or_equal),
    ("hasindex", collections::hasindex),
    ("homedir", paths::homedir),
    ("indent", text::indent),
    ("index", collections::index),
    ("indexof", collections::indexof),
    ("int", numbers::int),
    ("join", text::join),
    ("jsondecode", encoding::json_decode),
    ("jsonencode", encoding::json_encode),
    ("keys", collections::keys),
    ("length", collections::length),
    ("lessthan", numbers::less),
    ("lessthanorequalto", numbers::less_or_equal),
    ("log", numbers::log),
    ("lookup", collections::lookup),
    ("lower", text::lower),
    ("max", numbers::max),
    ("md5", encoding::md5),
    ("merge", collections::merge),
    ("min", numbers::min),
    ("modulo", numbers::modulo),
    ("multiply", numbers::multiply),
    ("negate", numbers::negate),
    ("not", numbers::not),
    ("notequal", numbers::not_equal),
    ("or", numbers::or),
    ("parseint", numbers::parseint),
    ("pow", numbers::pow),
    ("range", numbers::range),
    ("regex", patterns::regex),
    ("regex_replace", patterns::regex_replace),
    ("regexall", patterns::regexall),
    ("replace", text::replace),
    ("reverse", text::reverse),
    ("reverselist", collections::reverselist),
    ("rsadecrypt", encoding::rsa_decrypt),
    ("sanitize", text::sanitize),
    ("semvercmp", versions::semvercmp),
    ("sethaselement", sets::has_element),
    ("setintersection", sets::intersection),
    ("setproduct", sets::product),
    ("setsubtract", sets::subtract),
    ("setsymmetricdifference", sets::symmetric_difference),
    ("setunion", sets::union),
    ("sha1", encoding::sha1),
    ("sha256", encoding::sha256),
    ("sha512", encoding::sha512),
    ("signum", numbers::signum),
    ("slice", collections::slice),
    ("sort", collections::sort),
    ("split", text::split),
    ("strlen", text::strlen),
    ("substr", text::substr),
    ("subtract", numbers::subtract),
    ("timeadd", times::timeadd),
    ("timestamp", times::timestamp),
    ("title", text::title),
    ("trim", text::trim),
    ("trimprefix", text::trimprefix),
    ("trimspace", text::trimspace),
    ("trimsuffix", text::trimsuffix),
    ("unixtimestampparse", times::unixtimestampparse),
    ("upper", text::upper),
    ("urlencode", encoding::url_encode),
    ("uuidv4", encoding::uuidv4),
    ("uuidv5", encoding::uuidv5),
    ("values", collections::values),
    ("zipmap", collections::zipmap),
    // What newer versions of the library call some of them.
    ("strcontains", text::contains),
    ("startswith", text::startswith),
    ("endswith", text::endswith),
];

fn blame(argument: usize, reason: impl Into<String>) -> Wrong {
    Wrong { argument: Some(argument), reason: reason.into() }
}

fn exactly<const N: usize>(arguments: &[Value]) -> Result<&[Value; N], Wrong> {
    arguments.try_into().map_err(|_| Wrong::from(format!("it takes {N} arguments, not {}", arguments.len())))
}

fn mismatch(argument: usize, wanted: &str, value: &Value) -> Wrong {
    blame(argument, format!("this is {}, and is to be {wanted}", value.kind()))
}

fn text_of(arguments: &[Value], index: usize) -> Result<String, Wrong> {
    let value = arguments.get(index).ok_or_else(|| Wrong::from(format!("argument {} is missing", index + 1)))?;
    value.to_text().ok_or_else(|| mismatch(index, "a string", value))
}

fn number_of(arguments: &[Value], index: usize) -> Result<Number, Wrong> {
    let value = arguments.get(index).ok_or_else(|| Wrong::from(format!("argument {} is missing", index + 1)))?;
    value.to_number().ok_or_else(|| mismatch(index, "a number", value))
}

fn whole_of(arguments: &[Value], index: usize) -> Result<i64, Wrong> {
    let number = number_of(arguments, index)?;
    number.int().and_then(|whole| i64::try_from(whole).ok()).ok_or_else(|| blame(index, "this is not a whole number"))
}

fn truth_of(arguments: &[Value], index: usize) -> Result<bool, Wrong> {
    let value = arguments.get(index).ok_or_else(|| Wrong::from(format!("argument {} is missing", index + 1)))?;
    value.to_bool().ok_or_else(|| mismatch(index, "true or false", value))
}

fn list_of(arguments: &[Value], index: usize) -> Result<&[Value], Wrong> {
    let value = arguments.get(index).ok_or_else(|| Wrong::from(format!("argument {} is missing", index + 1)))?;
    value.elements().ok_or_else(|| mismatch(index, "a list", value))
}

fn map_of(arguments: &[Value], index: usize) -> Result<&BTreeMap<String, Value>, Wrong> {
    match arguments.get(index) {
        Some(Value::Map(map)) => Ok(map),
        Some(other) => Err(mismatch(index, "a map", other)),
        None => Err(Wrong::from(format!("argument {} is missing", index + 1))),
    }
}

fn texts_of(arguments: &[Value], index: usize) -> Result<Vec<String>, Wrong> {
    let text = |value: &Value| value.to_text().ok_or_else(|| blame(index, "it holds what is not a string"));
    list_of(arguments, index)?.iter().map(text).collect()
}

#[cfg(test)]
mod tests;
