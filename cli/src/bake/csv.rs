//! Fields between commas, as command lines have them: one in quotes may hold commas, and two quotes in it are one.

/// The fields of a line.
pub fn fields(text: &str, separator: char) -> Result<Vec<String>, String> {
    let (mut fields, mut field) = (Vec::new(), String::new());
    let mut letters = text.chars().peekable();
    loop {
        if letters.peek() == Some(&'"') && field.is_empty() {
            letters.next();
            loop {
                match letters.next() {
                    Some('"') if letters.peek() == Some(&'"') => {
                        letters.next();
                        field.push('"');
                    }
                    Some('"') => break,
                    Some(letter) => field.push(letter),
                    None => return Err(format!("the quotes in `{text}` do not end")),
                }
            }
        }
        match letters.next() {
            Some(letter) if letter == separator => fields.push(std::mem::take(&mut field)),
            Some(letter) => field.push(letter),
            None => break,
        }
    }
    fields.push(field);
    Ok(fields)
}

/// A field as it is to stand between others.
pub fn field(text: &str) -> String {
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_back() {
        for (text, expected) in [
            ("a,b", vec!["a", "b"]),
            ("", vec![""]),
            ("type=x,\"name=a,b\"", vec!["type=x", "name=a,b"]),
            ("\"a\"\"b\"", vec!["a\"b"]),
        ] {
            assert_eq!(fields(text, ',').unwrap(), expected, "{text}");
        }
        assert!(fields("\"a", ',').is_err());
        assert_eq!(fields(&field("a,\"b"), ',').unwrap(), ["a,\"b"]);
    }
}
