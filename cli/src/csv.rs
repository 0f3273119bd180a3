//! The fields of a flag, as of `--cache-to` and `--secret`, as Docker's command line has them: comma-separated values, names in
//! any case.

/// `NAME=VALUE` pairs; a field without `=` has no value. `None` for what is no line of comma-separated values.
pub fn fields(text: &str) -> Option<Vec<(String, Option<String>)>> {
    let fields = split(text, ',')?.into_iter().map(|field| match field.split_once('=') {
        Some((name, value)) => (name.trim().to_lowercase(), Some(value.to_owned())),
        None => (field.trim().to_owned(), None),
    });
    Some(fields.collect())
}

/// Fields by `separator`. One that begins with a quote ends with one, and holds separators, and quotes that are doubled.
pub fn split(text: &str, separator: char) -> Option<Vec<String>> {
    let (mut fields, mut rest) = (Vec::new(), text);
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let end = end_of(quoted)?;
                (quoted[..end].replace("\"\"", "\""), &quoted[end + 1..])
            }
            None => {
                let end = rest.find(separator).unwrap_or(rest.len());
                if rest[..end].contains('"') {
                    return None;
                }
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(separator) {
            Some(more) => rest = more,
            None if after.is_empty() => return Some(fields),
            None => return None,
        }
    }
}

/// A field as it is to stand between others.
pub fn field(text: &str) -> String {
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// Where the quote stands that ends a field.
fn end_of(quoted: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + quoted[from..].find('"')?;
        if quoted[at + 1..].starts_with('"') {
            from = at + 2;
        } else {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_split_as_docker_splits_them() {
        let joined = |text: &str| split(text, ',').map(|fields| fields.join("|"));
        for (text, fields) in [
            ("type=local,dest=a", Some("type=local|dest=a")),
            ("type=local,\"dest=a,b\"", Some("type=local|dest=a,b")),
            ("\"dest=say \"\"hi\"\"\",mode=min", Some("dest=say \"hi\"|mode=min")),
            ("", Some("")),
            ("a,", Some("a|")),
            ("a,\"b", None),
            ("\"a\"b", None),
            ("dest=\"a,b\"", None),
        ] {
            assert_eq!(joined(text).as_deref(), fields, "{text}");
        }
        assert_eq!(split(&field("a,\"b"), ',').unwrap(), ["a,\"b"]);
        let read = fields("Type=local,DEST= a ,inline").unwrap();
        let expected = [("type", Some("local")), ("dest", Some(" a ")), ("inline", None)];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))));
    }
}
