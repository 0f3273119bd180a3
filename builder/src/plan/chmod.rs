//! `--chmod`: octal bits, or the symbolic form of chmod(1) with a umask of 0.

/// A list of changes, `u=rwX,go=rX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Symbolic(Vec<Change>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    who: Who,
    operator: Operator,
    what: What,
}

/// Whose bits: `u` 4, `g` 2, `o` 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Who(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// Bits of `rwx` as 4, 2, 1, `X`, `s` and `t`.
    Bits { rwx: u32, execute_if_any: bool, set_id: bool, sticky: bool },
    /// The bits that user, group or others have now.
    CopyOf(Who),
}

const USER: Who = Who(4);
const GROUP: Who = Who(2);
const OTHERS: Who = Who(1);

impl Who {
    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// `rwx` in each place it stands for.
    fn spread(self, rwx: u32) -> u32 {
        let place = |who: Self, shift| if self.has(who) { rwx << shift } else { 0 };
        place(USER, 6) | place(GROUP, 3) | place(OTHERS, 0)
    }
}

/// Whether the thing that is changed is a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// `X` always sets the bit.
    Directory,
    /// `X` sets the bit when one of the three is set.
    Other,
}

impl Symbolic {
    /// Reads the symbolic form; `None` when it is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut changes = Vec::new();
        for clause in text.split(',') {
            parse_clause(clause, &mut changes)?;
        }
        Some(Self(changes))
    }

    /// The bits that `mode` becomes.
    pub(crate) fn apply(&self, mode: u32, subject: Subject) -> u32 {
        self.0.iter().fold(mode, |mode, change| change.apply(mode, subject))
    }
}

fn parse_clause(clause: &str, changes: &mut Vec<Change>) -> Option<()> {
    let start = clause.find(['+', '-', '='])?;
    let mut who = Who(0);
    for letter in clause[..start].chars() {
        who.0 |= match letter {
            'u' => USER.0,
            'g' => GROUP.0,
            'o' => OTHERS.0,
            'a' => 7,
            _ => return None,
        };
    }
    if who.0 == 0 {
        who = Who(7);
    }
    let mut rest = &clause[start..];
    while let Some(symbol) = rest.chars().next() {
        let operator = match symbol {
            '+' => Operator::Add,
            '-' => Operator::Remove,
            '=' => Operator::Set,
            _ => return None,
        };
        let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |at| at + 1);
        changes.push(Change { who, operator, what: parse_what(&rest[1..end])? });
        rest = &rest[end..];
    }
    Some(())
}

fn parse_what(letters: &str) -> Option<What> {
    match letters {
        "u" => return Some(What::CopyOf(USER)),
        "g" => return Some(What::CopyOf(GROUP)),
        "o" => return Some(What::CopyOf(OTHERS)),
        _ => {}
    }
    let (mut rwx, mut execute_if_any, mut set_id, mut sticky) = (0, false, false, false);
    for letter in letters.chars() {
        match letter {
            'r' => rwx |= 4,
            'w' => rwx |= 2,
            'x' => rwx |= 1,
            'X' => execute_if_any = true,
            's' => set_id = true,
            't' => sticky = true,
            _ => return None,
        }
    }
    Some(What::Bits { rwx, execute_if_any, set_id, sticky })
}

impl Change {
    fn apply(self, mode: u32, subject: Subject) -> u32 {
        let bits = match self.what {
            What::CopyOf(from) => {
                let shift = match from {
                    USER => 6,
                    GROUP => 3,
                    _ => 0,
                };
                self.who.spread(mode >> shift & 7)
            }
            What::Bits { rwx, execute_if_any, set_id, sticky } => {
                let execute = execute_if_any && (subject == Subject::Directory || mode & 0o111 != 0);
                let mut bits = self.who.spread(rwx | u32::from(execute));
                if set_id {
                    bits |= if self.who.has(USER) { 0o4000 } else { 0 };
                    bits |= if self.who.has(GROUP) { 0o2000 } else { 0 };
                }
                if sticky && self.who.has(OTHERS) {
                    bits |= 0o1000;
                }
                bits
            }
        };
        match self.operator {
            Operator::Add => mode | bits,
            Operator::Remove => mode & !bits,
            Operator::Set => mode & !self.cleared() | bits,
        }
    }

    /// What `=` takes away first.
    fn cleared(self) -> u32 {
        let mut bits = self.who.spread(7);
        bits |= if self.who.has(USER) { 0o4000 } else { 0 };
        bits |= if self.who.has(GROUP) { 0o2000 } else { 0 };
        bits | if self.who.has(OTHERS) { 0o1000 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbolic_modes_do_what_chmod_does() {
        for (text, before, file, directory) in [
            ("u=rwX,go=rX", 0o644, 0o644, 0o755),
            ("u=rwX,go=rX", 0o700, 0o755, 0o755),
            ("+x", 0o644, 0o755, 0o755),
            ("a-w", 0o666, 0o444, 0o444),
            ("g=u", 0o640, 0o660, 0o660),
            ("u+s,g+s", 0o755, 0o6755, 0o6755),
            ("+t", 0o777, 0o1777, 0o1777),
            ("o=", 0o777, 0o770, 0o770),
            ("u+x-w", 0o600, 0o500, 0o500),
        ] {
            let change = Symbolic::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(change.apply(before, Subject::Other), file, "{text} of a file");
            assert_eq!(change.apply(before, Subject::Directory), directory, "{text} of a directory");
        }
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for bad in ["", "u", "z+x", "u+q", "755x", "u=rwx,", "+ur"] {
            assert_eq!(Symbolic::parse(bad), None, "{bad:?}");
        }
    }
}
