//! Patterns of names, as Go's `path.Match` has them: `*`, `?`, `[a-z]`, `[^a]` and `\` before a letter. Names have no
//! slashes, so a star may be anything.

/// Whether a name fits a pattern. One that is none fits nothing.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    fits(&pattern, &name)
}

fn fits(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        (['*', rest @ ..], _) => fits(rest, name) || matches!(name, [_, more @ ..] if fits(pattern, more)),
        (['?', rest @ ..], [_, more @ ..]) => fits(rest, more),
        (['[', rest @ ..], [first, more @ ..]) => match class(rest, *first) {
            Some((true, after)) => fits(after, more),
            Some((false, _)) | None => false,
        },
        (['\\', letter, rest @ ..], [first, more @ ..]) => letter == first && fits(rest, more),
        ([letter, rest @ ..], [first, more @ ..]) => letter == first && fits(rest, more),
        ([], [_, ..]) | ([_, ..], []) => false,
    }
}

/// Whether a letter is in the class, and what follows the class.
fn class(mut pattern: &[char], letter: char) -> Option<(bool, &[char])> {
    let negated = pattern.first() == Some(&'^');
    pattern = &pattern[usize::from(negated)..];
    let mut found = false;
    let mut first = true;
    loop {
        match pattern {
            [']', rest @ ..] if !first => return Some((found != negated, rest)),
            [from, '-', to, rest @ ..] if *to != ']' => {
                found |= (*from..=*to).contains(&letter);
                pattern = rest;
            }
            [one, rest @ ..] => {
                found |= *one == letter;
                pattern = rest;
            }
            [] => return None,
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_fit_names() {
        for (pattern, name) in
            [("*", "a"), ("a*c", "abbc"), ("a?", "ab"), ("[ab]-x", "b-x"), ("[^a]", "b"), ("app-[0-9]", "app-7")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "b"), ("a*c", "abb"), ("?", ""), ("[ab]", "c"), ("[a", "a"), ("[^a]", "a")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
