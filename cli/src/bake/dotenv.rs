//! `.env` files: what compose files look variables up in, after the environment.

use std::collections::BTreeMap;

use super::interpolate::interpolate;

/// The variables of a file. Values in double quotes and without quotes may name others; `lookup` is what counts before them.
pub fn parse(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    add(&mut variables, text, lookup);
    variables
}

/// The same, for a file after others: its variables take the place of theirs.
pub fn add(variables: &mut BTreeMap<String, String>, text: &str, lookup: &dyn Fn(&str) -> Option<String>) {
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let line = line.trim();
        let Some((name, value)) = assignment(line) else {
            rest = after;
            continue;
        };
        let quote = value.chars().next().filter(|letter| matches!(letter, '"' | '\''));
        let known = |name: &str| lookup(name).or_else(|| variables.get(name).cloned());
        let value = match quote {
            // A value in quotes may go over lines.
            Some(quote) => {
                let start = rest.find(value).map_or(rest.len(), |at| at + 1);
                let inside = &rest[start..];
                let end = closing(inside, quote);
                let value = &inside[..end];
                let beyond = &inside[(end + 1).min(inside.len())..];
                rest = beyond.split_once('\n').map_or("", |(_, after)| after);
                if quote == '\'' { value.to_owned() } else { expanded(&unescaped(value), &known) }
            }
            None => {
                rest = after;
                let end = value.find(" #").unwrap_or(value.len());
                expanded(value[..end].trim(), &known)
            }
        };
        variables.insert(name.to_owned(), value);
    }
}

fn assignment(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').filter(|(name, _)| !name.starts_with('#'))?;
    Some((name.trim(), value.trim_start()))
}

fn closing(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, letter) in text.char_indices() {
        match letter {
            '\\' if !escaped && quote == '"' => escaped = true,
            letter if letter == quote && !escaped => return index,
            _ => escaped = false,
        }
    }
    text.len()
}

fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t").replace("\\\"", "\"").replace("\\\\", "\\")
}

/// What cannot be put in stays as it is: the file may be meant for something else.
fn expanded(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> String {
    interpolate(text, lookup).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn variables_read_as_compose_reads_them() {
        let text = "# comment\nA=1\nexport B = \"two ${A}\"\nC='$A'\nD=x # end\nE=$A-${OUT}-${NO:-no}\nF=\"one\ntwo\"\nG=\n\nnonsense\n";
        let variables = parse(text, &|name| (name == "OUT").then(|| "out".to_owned()));
        for (name, value) in
            [("A", "1"), ("B", "two 1"), ("C", "$A"), ("D", "x"), ("E", "1-out-no"), ("F", "one\ntwo"), ("G", "")]
        {
            assert_eq!(variables.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert_eq!(variables.len(), 7);
    }
}
