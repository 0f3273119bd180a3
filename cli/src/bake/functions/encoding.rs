//! Base64, JSON, CSV, URLs, hashes and identifiers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::{Given, Wrong, blame, exactly, text_of, whole_of};
use crate::bake::value::{Value, go_json};
use crate::csv;

fn one(arguments: &[Value]) -> Result<String, Wrong> {
    exactly::<1>(arguments)?;
    text_of(arguments, 0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn base64_decode(arguments: &[Value]) -> Given {
    let text = one(arguments)?;
    let bytes = STANDARD.decode(&text).map_err(|error| blame(0, format!("this is not Base64: {error}")))?;
    String::from_utf8(bytes).map(Value::String).map_err(|_| blame(0, "what it holds is not UTF-8"))
}

pub(super) fn base64_encode(arguments: &[Value]) -> Given {
    one(arguments).map(|text| Value::text(STANDARD.encode(text)))
}

pub(super) fn bcrypt_hash(arguments: &[Value]) -> Given {
    let cost = match arguments.len() {
        1 => 10,
        2 => u32::try_from(whole_of(arguments, 1)?).map_err(|_| blame(1, "this is no cost"))?,
        other => return Err(format!("it takes a text and perhaps a cost, not {other} arguments").into()),
    };
    bcrypt::hash(text_of(arguments, 0)?, cost).map(Value::String).map_err(|error| Wrong::from(error.to_string()))
}

/// The first line names the fields of the others.
pub(super) fn csv_decode(arguments: &[Value]) -> Given {
    let text = one(arguments)?;
    let read = |line: &str| {
        csv::split(line, ',').ok_or_else(|| blame(0, format!("the quotes in `{line}` do not go together")))
    };
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let heads = read(lines.next().ok_or_else(|| blame(0, "the header is missing"))?)?;
    let row = |line| {
        let fields = read(line)?;
        if fields.len() != heads.len() {
            return Err(blame(0, format!("a line has {} fields, and the header {}", fields.len(), heads.len())));
        }
        Ok(Value::Map(heads.iter().cloned().zip(fields.into_iter().map(Value::String)).collect::<BTreeMap<_, _>>()))
    };
    Ok(Value::List(lines.map(row).collect::<Result<_, _>>()?))
}

pub(super) fn json_decode(arguments: &[Value]) -> Given {
    let json = serde_json::from_str(&one(arguments)?);
    json.map(|json| Value::from_json(&json)).map_err(|error| blame(0, format!("this is not JSON: {error}")))
}

pub(super) fn json_encode(arguments: &[Value]) -> Given {
    let [value] = exactly(arguments)?;
    Ok(Value::text(go_json(&value.to_json().to_string())))
}

pub(super) fn md5(arguments: &[Value]) -> Given {
    one(arguments).map(|text| Value::text(hex(&Md5::digest(text))))
}

pub(super) fn sha1(arguments: &[Value]) -> Given {
    one(arguments).map(|text| Value::text(hex(&Sha1::digest(text))))
}

pub(super) fn sha256(arguments: &[Value]) -> Given {
    one(arguments).map(|text| Value::text(hex(&Sha256::digest(text))))
}

pub(super) fn sha512(arguments: &[Value]) -> Given {
    one(arguments).map(|text| Value::text(hex(&Sha512::digest(text))))
}

/// What would decrypt has no place in a program that needs it for nothing else.
pub(super) fn rsa_decrypt(_: &[Value]) -> Given {
    Err(Wrong::from("Wharf does not decrypt: give the plain text in a variable or a secret"))
}

/// As in a query: spaces are plus signs.
pub(super) fn url_encode(arguments: &[Value]) -> Given {
    let text = one(arguments)?;
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            other => {
                let _ = write!(encoded, "%{other:02X}");
            }
        }
    }
    Ok(Value::text(encoded))
}

pub(super) fn uuidv4(arguments: &[Value]) -> Given {
    exactly::<0>(arguments)?;
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Wrong::from(error.to_string()))?;
    Ok(uuid(bytes, 4))
}

/// Of a namespace and a name.
pub(super) fn uuidv5(arguments: &[Value]) -> Given {
    exactly::<2>(arguments)?;
    let (namespace, name) = (text_of(arguments, 0)?, text_of(arguments, 1)?);
    let namespace = match namespace.as_str() {
        "dns" => "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "url" => "6ba7b811-9dad-11d1-80b4-00c04fd430c8",
        "oid" => "6ba7b812-9dad-11d1-80b4-00c04fd430c8",
        "x500" => "6ba7b814-9dad-11d1-80b4-00c04fd430c8",
        other => other,
    };
    let digits: String = namespace.chars().filter(|c| *c != '-').collect();
    let number = u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32);
    let number = number.ok_or_else(|| blame(0, "a namespace is dns, url, oid, x500 or a UUID"))?;
    let digest = Sha1::new().chain_update(number.to_be_bytes()).chain_update(name).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Ok(uuid(bytes, 5))
}

fn uuid(mut bytes: [u8; 16], version: u8) -> Value {
    bytes[6] = (bytes[6] & 0x0f) | (version << 4);
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digits = hex(&bytes);
    Value::text([&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"))
}
