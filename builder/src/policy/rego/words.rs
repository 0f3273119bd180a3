//! The text of a policy as words: where it names which fields of `input`, what it imports, and which package it is.
//!
//! Only what has to be known before or beside an evaluation; what the words mean is the interpreter's business.

/// A word and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word<'t> {
    line: u32,
    start: usize,
    kind: Kind<'t>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind<'t> {
    /// A name or a keyword.
    Name(&'t str),
    /// What stands in quotes, as it stands there.
    Text(&'t str),
    /// One sign.
    Sign(char),
}

/// A place where a policy names a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mention {
    /// From 1.
    pub(super) line: u32,
    /// Where the chain of fields begins that it is the last of.
    pub(super) first: u32,
    /// What is named.
    pub(super) what: Named,
}

/// What is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A field by its name: `.labels`, `["labels"]`, or the name as a string.
    Field(String),
    /// An object of `input` as a whole, or a field of it that only the evaluation knows.
    Whole,
}

/// The words of a policy.
pub(super) struct Words<'t> {
    text: &'t str,
    words: Vec<Word<'t>>,
}

impl<'t> Words<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self { text, words: Scanner { text, at: 0, line: 1 }.collect() }
    }

    /// Every place that names a field of an object `input.<object>`, or of something that may be one.
    pub(super) fn mentions(&self, object: &str) -> Vec<Mention> {
        let mut found = Vec::new();
        for (at, word) in self.words.iter().enumerate() {
            let what = match word.kind {
                Kind::Text(text) => (!self.follows_other(at, object)).then(|| Named::Field(text.to_owned())),
                Kind::Name(name) if self.sign(at, -1) == Some('.') => {
                    (!self.follows_other(at, object)).then(|| Named::Field(name.to_owned()))
                }
                Kind::Name(_) | Kind::Sign(_) => None,
            };
            let whole = (self.ends_object(at, object) && self.is_whole(at)).then_some(Named::Whole);
            let first = self.words[self.chain(at).1].line;
            found.extend(what.into_iter().chain(whole).map(|what| Mention { line: word.line, first, what }));
        }
        found
    }

    /// What `import data.…` names, in components.
    pub(super) fn imports(&self) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        for (at, word) in self.words.iter().enumerate() {
            let begins = word.kind == Kind::Name("import") && self.first_of_line(at);
            if begins && self.words.get(at + 1).is_some_and(|word| word.kind == Kind::Name("data")) {
                found.push(self.path(at + 2).0);
            }
        }
        found
    }

    /// The package, in components, and the bytes where it stands.
    pub(super) fn package(&self) -> Option<(Vec<String>, std::ops::Range<usize>)> {
        let at = self.words.iter().position(|word| word.kind == Kind::Name("package"))?;
        let first = self.words.get(at + 1)?;
        let Kind::Name(name) = first.kind else { return None };
        let (rest, end) = self.path(at + 2);
        let path = std::iter::once(name.to_owned()).chain(rest).collect();
        Some((path, first.start..end.unwrap_or(first.start + name.len())))
    }

    /// Rules without arguments that begin a line with this prefix, and where the next rule begins.
    pub(super) fn rules(&self, prefix: &str) -> Vec<(String, &'t str)> {
        let starts: Vec<usize> = (0..self.words.len())
            .filter(|at| self.at_margin(*at) && matches!(self.words[*at].kind, Kind::Name(_)))
            .collect();
        let mut found = Vec::new();
        for (nth, at) in starts.iter().enumerate() {
            let Kind::Name(name) = self.words[*at].kind else { continue };
            if name.starts_with(prefix) && self.sign(*at, 1) != Some('(') {
                let end = starts.get(nth + 1).map_or(self.text.len(), |next| self.words[*next].start);
                found.push((name.to_owned(), &self.text[self.words[*at].start..end]));
            }
        }
        found
    }

    /// What imports are called here: the last of their names, or what stands behind `as`.
    pub(super) fn aliases(&self) -> Vec<(String, Vec<String>)> {
        let mut found = Vec::new();
        for (at, word) in self.words.iter().enumerate() {
            if word.kind == Kind::Name("import") && self.first_of_line(at) && self.name(at + 1) == Some("data") {
                let line = self.words[at + 1].line;
                let path = self.path(at + 2).0;
                let renamed = (at..self.words.len()).take_while(|at| self.words[*at].line <= line);
                let renamed = renamed.filter(|at| self.name(*at) == Some("as")).find_map(|at| self.name(at + 1));
                found.extend(renamed.or(path.last().map(String::as_str)).map(|name| (name.to_owned(), path.clone())));
            }
        }
        found
    }

    /// Functions, and the chains of names that each calls. Rules without arguments are none.
    pub(super) fn functions(&self) -> Vec<(String, Vec<Vec<String>>)> {
        let (mut found, mut depth) = (Vec::<(String, Vec<Vec<String>>)>::new(), 0_usize);
        let mut inside = false;
        for (at, word) in self.words.iter().enumerate() {
            match word.kind {
                Kind::Sign('{' | '[' | '(') => depth += 1,
                Kind::Sign('}' | ']' | ')') => depth = depth.saturating_sub(1),
                Kind::Name("else") => {}
                Kind::Name(name) if depth == 0 && self.first_of_line(at) => {
                    inside = self.sign(at, 1) == Some('(');
                    if inside {
                        found.push((name.to_owned(), Vec::new()));
                    }
                }
                Kind::Name(_) if inside && self.sign(at, 1) == Some('(') => {
                    let chain = self.chain(at).0.into_iter().map(str::to_owned).collect();
                    found.last_mut().into_iter().for_each(|(_, calls)| calls.push(Vec::clone(&chain)));
                }
                Kind::Name(_) | Kind::Text(_) | Kind::Sign(_) => {}
            }
        }
        found
    }

    fn name(&self, at: usize) -> Option<&'t str> {
        match self.words.get(at)?.kind {
            Kind::Name(name) => Some(name),
            Kind::Text(_) | Kind::Sign(_) => None,
        }
    }

    /// The terms that stand behind `with input as`.
    pub(super) fn inputs(&self) -> Vec<&'t str> {
        let is = |at: usize, name: &str| self.words.get(at).is_some_and(|word| word.kind == Kind::Name(name));
        let mut found = Vec::new();
        for at in 0..self.words.len() {
            if is(at, "with") && is(at + 1, "input") && is(at + 2, "as") {
                found.extend(self.term(at + 3));
            }
        }
        found
    }

    /// A term in brackets, or a name with its fields.
    fn term(&self, at: usize) -> Option<&'t str> {
        let first = self.words.get(at)?;
        let Kind::Sign(open @ ('{' | '[')) = first.kind else {
            let (_, end) = self.path(at + 1);
            let end = end.or(match first.kind {
                Kind::Name(name) => Some(first.start + name.len()),
                Kind::Text(_) | Kind::Sign(_) => None,
            })?;
            return Some(&self.text[first.start..end]);
        };
        let mut depth = 0_usize;
        for word in &self.words[at..] {
            match word.kind {
                Kind::Sign('{' | '[' | '(') => depth += 1,
                Kind::Sign('}' | ']' | ')') => depth -= 1,
                Kind::Name(_) | Kind::Text(_) | Kind::Sign(_) => {}
            }
            if depth == 0 {
                return Some(&self.text[first.start..word.start + open.len_utf8()]);
            }
        }
        None
    }

    /// `.a["b"]` from here on, and where it ends.
    fn path(&self, mut at: usize) -> (Vec<String>, Option<usize>) {
        let (mut path, mut end) = (Vec::new(), None);
        loop {
            let three = (self.words.get(at), self.words.get(at + 1), self.words.get(at + 2));
            match three {
                (Some(Word { kind: Kind::Sign('.'), .. }), Some(Word { kind: Kind::Name(name), start, .. }), _) => {
                    path.push((*name).to_owned());
                    end = Some(start + name.len());
                    at += 2;
                }
                (
                    Some(Word { kind: Kind::Sign('['), .. }),
                    Some(Word { kind: Kind::Text(text), .. }),
                    Some(Word { kind: Kind::Sign(']'), start, .. }),
                ) => {
                    path.push((*text).to_owned());
                    end = Some(start + 1);
                    at += 3;
                }
                _ => return (path, end),
            }
        }
    }

    fn sign(&self, at: usize, offset: isize) -> Option<char> {
        match self.words.get(at.checked_add_signed(offset)?)?.kind {
            Kind::Sign(sign) => Some(sign),
            Kind::Name(_) | Kind::Text(_) => None,
        }
    }

    fn first_of_line(&self, at: usize) -> bool {
        at == 0 || self.words[at - 1].line < self.words[at].line
    }

    fn at_margin(&self, at: usize) -> bool {
        let start = self.words[at].start;
        self.first_of_line(at) && (start == 0 || self.text.as_bytes()[start - 1] == b'\n')
    }

    /// The names of the chain of fields that the word at `at` is the last of, and where it begins.
    fn chain(&self, at: usize) -> (Vec<&'t str>, usize) {
        let (mut names, mut at) = (Vec::new(), at);
        loop {
            match self.words[at].kind {
                Kind::Name(name) => {
                    names.push(name);
                    if self.sign(at, -1) == Some('.') && at >= 2 {
                        at -= 2;
                        continue;
                    }
                }
                Kind::Text(text) if self.sign(at, -1) == Some('[') && at >= 2 => {
                    names.push(text);
                    at -= 2;
                    continue;
                }
                Kind::Sign(']') if at >= 3 && matches!(self.words[at - 1].kind, Kind::Text(_)) => {
                    at -= 1;
                    continue;
                }
                Kind::Text(_) | Kind::Sign(_) => {}
            }
            names.reverse();
            return (names, at);
        }
    }

    /// Whether the word is a field of another object of `input`, or of none: `input.env.labels` where images are looked at.
    fn follows_other(&self, at: usize, object: &str) -> bool {
        match self.chain(at).0.as_slice() {
            ["input", _] => true,
            ["input", other, ..] if *other != object => true,
            // A field of a field is reached through the first one, which is a mention by itself.
            ["input", _, _, _, ..] => true,
            ["data", ..] => true,
            _ => false,
        }
    }

    /// Whether the word is the end of `input` or of `input.<object>`.
    fn ends_object(&self, at: usize, object: &str) -> bool {
        match self.words[at].kind {
            Kind::Name(_) => match self.chain(at).0.as_slice() {
                ["input"] => true,
                ["input", last] => *last == object,
                _ => false,
            },
            Kind::Text(_) | Kind::Sign(_) => false,
        }
    }

    /// Whether all of it is handed on, or a part that is not known yet: `f(input.image)`, `input.image[name]`.
    fn is_whole(&self, at: usize) -> bool {
        match self.sign(at, 1) {
            Some('[') => !matches!(self.words.get(at + 2), Some(Word { kind: Kind::Text(_), .. })),
            Some(',' | ')' | ']' | '}') => true,
            Some('.') => false,
            Some(_) | None => {
                let before = self.chain(at).1.checked_sub(1).map(|before| &self.words[before].kind);
                matches!(before, Some(Kind::Name("in" | "as")))
            }
        }
    }
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    line: u32,
}

impl<'t> Iterator for Scanner<'t> {
    type Item = Word<'t>;

    fn next(&mut self) -> Option<Word<'t>> {
        loop {
            let rest = &self.text[self.at..];
            let first = rest.chars().next()?;
            let (line, start) = (self.line, self.at);
            let kind = match first {
                '\n' => {
                    self.line += 1;
                    self.at += 1;
                    continue;
                }
                '#' => {
                    self.at += rest.find('\n').unwrap_or(rest.len());
                    continue;
                }
                '"' => {
                    let end = end_of_string(&rest[1..]);
                    self.at += (end + 2).min(rest.len());
                    Kind::Text(&rest[1..=end])
                }
                '`' => {
                    let end = rest[1..].find('`').unwrap_or(rest.len() - 1);
                    self.at += (end + 2).min(rest.len());
                    self.line += u32::try_from(rest[1..=end].matches('\n').count()).unwrap_or(u32::MAX);
                    Kind::Text(&rest[1..=end])
                }
                c if c.is_whitespace() => {
                    self.at += c.len_utf8();
                    continue;
                }
                c if c.is_alphanumeric() || c == '_' => {
                    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                    self.at += end;
                    Kind::Name(&rest[..end])
                }
                c => {
                    self.at += c.len_utf8();
                    Kind::Sign(c)
                }
            };
            return Some(Word { line, start, kind });
        }
    }
}

/// How many bytes stand before the quote that ends a string.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' | b'\n' => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<String> {
        let mentions = Words::of(text).mentions("image").into_iter();
        let shown = mentions.map(|mention| match mention.what {
            Named::Field(name) => format!("{}:{name}", mention.line),
            Named::Whole => format!("{}:*", mention.line),
        });
        shown.collect()
    }

    #[test]
    fn fields_are_found_however_they_are_named() {
        for (text, expected) in [
            ("allow if input.image.labels.a == 1", vec!["1:labels"]),
            ("x\n input.image[\"labels\"][\"a\"]", vec!["2:labels"]),
            ("f(image) if image.user", vec!["1:user"]),
            ("# input.image.labels\nx", vec![]),
            ("`a\nb`\nimg.env", vec!["1:a\nb", "3:env"]),
            ("input.env.labels.a; input.env.args", vec![]),
            ("input.http.checksum", vec![]),
            ("f(input.image, 1)", vec!["1:*"]),
            ("some k, v in input.image\ninput.image[k]", vec!["1:*", "2:*"]),
            ("print(input)", vec!["1:*"]),
            ("object.get(input.image, \"user\", 1)", vec!["1:get", "1:*", "1:user"]),
            ("allow if input.image", vec![]),
        ] {
            assert_eq!(fields(text), expected, "{text}");
        }
    }

    #[test]
    fn imports_and_the_package_are_found() {
        let words = Words::of(
            "# package no\npackage docker.x # y\n\nimport data.hack.utils as u\nimport rego.v1\nimport data[\"a\"].b",
        );
        assert_eq!(words.imports(), [vec!["hack", "utils"], vec!["a", "b"]]);
        let (path, place) = words.package().unwrap();
        assert_eq!((path, &words.text[place]), (vec!["docker".to_owned(), "x".to_owned()], "docker.x"));
    }

    #[test]
    fn tests_have_names_and_inputs() {
        let text = "package a\ntest_x if {\n\ty with input as {\"a\": [1, {}]}\n}\ntest_f(x) if x\nhelp if { true }\ntest_y if z with input as base.one\n";
        let rules = Words::of(text).rules("test_");
        let names: Vec<_> = rules.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["test_x", "test_y"]);
        assert_eq!(Words::of(rules[0].1).inputs(), ["{\"a\": [1, {}]}"]);
        assert_eq!(Words::of(rules[1].1).inputs(), ["base.one"]);
    }

    #[test]
    fn what_is_no_policy_ends() {
        for text in ["\"", "`", "`a\n", "\"\\", "with input as {", "[", "package", "import data."] {
            let words = Words::of(text);
            let _ = (words.mentions("image"), words.imports(), words.package(), words.inputs(), words.rules("test_"));
        }
    }
}
