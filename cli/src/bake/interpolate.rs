//! Variables in compose files: `$X`, `${X:-default}`, `${X?what to say}`, `${X:+instead}` and `$$`.

/// Puts values in. The error says what is wrong, or what the file says about a variable that is missing.
pub fn interpolate(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut result, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('{') {
            let end = closing(inside).ok_or_else(|| format!("`${{{inside}` does not end"))?;
            result.push_str(&braced(&inside[..end], lookup)?);
            rest = &inside[end + 1..];
        } else {
            let end = name_end(rest);
            if end == 0 {
                return Err(format!(
                    "`${}` is no variable; a dollar sign is written $$",
                    rest.chars().next().unwrap_or(' ')
                ));
            }
            result.push_str(&lookup(&rest[..end]).unwrap_or_default());
            rest = &rest[end..];
        }
    }
    result.push_str(rest);
    Ok(result)
}

fn name_end(text: &str) -> usize {
    let fine = |(index, c): &(usize, char)| c.is_ascii_alphabetic() || *c == '_' || (*index > 0 && c.is_ascii_digit());
    text.char_indices().take_while(fine).count()
}

/// Where the brace ends, those inside it not counted.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (index, letter) in text.char_indices() {
        match letter {
            '{' if text[..index].ends_with('$') => depth += 1,
            '}' if depth == 0 => return Some(index),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn braced(inside: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (name, rest) = inside.split_at(name_end(inside));
    if name.is_empty() {
        return Err(format!("`${{{inside}}}` names no variable"));
    }
    let value = lookup(name);
    let filled = || value.clone().filter(|value| !value.is_empty());
    let (value, operator, word) = match (rest.strip_prefix(':'), rest) {
        (_, "") => return Ok(value.unwrap_or_default()),
        (Some(rest), _) => (filled(), rest.chars().next(), rest.get(1..).unwrap_or_default()),
        (None, rest) => (value, rest.chars().next(), &rest[1..]),
    };
    match (operator, value) {
        (Some('-' | '?'), Some(value)) => Ok(value),
        (Some('-'), None) | (Some('+'), Some(_)) => interpolate(word, lookup),
        (Some('+'), None) => Ok(String::new()),
        (Some('?'), None) if word.is_empty() => Err(format!("the variable {name} is not set")),
        (Some('?'), None) => Err(format!("the variable {name} is not set: {}", interpolate(word, lookup)?)),
        _ => Err(format!("`${{{inside}}}` is not written so; for example ${{{name}:-default}}")),
    }
}

#[cfg(test)]
mod tests {
    use super::interpolate;

    #[test]
    fn variables_are_put_in() {
        let lookup = |name: &str| match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        for (text, expected) in [
            ("x$A-$A", "xa-a"),
            ("${A}b", "ab"),
            ("$$A", "$A"),
            ("$NONE|", "|"),
            ("${NONE:-d}", "d"),
            ("${EMPTY-d}|${EMPTY:-d}", "|d"),
            ("${NONE:-${A}}", "a"),
            ("${A:+b}${NONE:+c}", "b"),
        ] {
            assert_eq!(interpolate(text, &lookup).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(interpolate("${NONE:?say it}", &lookup), Err("the variable NONE is not set: say it".to_owned()));
        for bad in ["${A", "$-", "${}", "${A*}"] {
            assert!(interpolate(bad, &lookup).is_err(), "{bad}");
        }
    }
}
