//! Compiles a map from system call number to rule into a classic BPF program.
//!
//! The allowed numbers lie close together, so the program is a binary search over a few dozen ranges instead of
//! one comparison per call. Must not know which calls are good or bad.

use libc::{BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};

/// Offsets into the kernel's `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// The low half of the first argument (both processors are little-endian); all rules are about 32-bit values.
const FIRST_ARGUMENT: u32 = 16;

/// What happens to a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// It happens.
    Allow,
    /// It fails with this error number.
    Fail(i32),
    /// It happens if the first argument has none of these bits, else it fails with `EPERM`.
    AllowWithoutBits(u32),
    /// It happens if the first argument is one of these values, else it fails with `EPERM`.
    AllowOnly(&'static [u32]),
}

/// The rules of one system call convention.
pub(super) struct Table {
    /// `AUDIT_ARCH_*`.
    pub(super) architecture: u32,
    /// The first number of each range and its rule, ascending, the first one 0.
    pub(super) ranges: Vec<(u32, Rule)>,
}

impl Table {
    /// Collects `rule(number)` for all numbers up to `last`, and `beyond` above it.
    pub(super) fn new(architecture: u32, last: u32, beyond: Rule, rule: impl Fn(u32) -> Rule) -> Self {
        let mut ranges: Vec<(u32, Rule)> = (0..=last).map(|number| (number, rule(number))).collect();
        ranges.push((last + 1, beyond));
        ranges.dedup_by(|next, previous| next.1 == previous.1);
        Self { architecture, ranges }
    }
}

/// A program that applies the table of the caller's convention; calls by any other convention fail with `ENOSYS`.
pub(super) fn compile(tables: &[Table]) -> Vec<sock_filter> {
    let mut program = vec![load(ARCHITECTURE)];
    for table in tables {
        let mut body = vec![load(NUMBER)];
        body.extend(search(&table.ranges));
        // Too far for an eight-bit offset: fall through to the body, or leap over it.
        program.push(jump(BPF_JEQ, table.architecture, 1, 0));
        program.push(leap(body.len()));
        program.extend(body);
    }
    program.push(ret(Rule::Fail(libc::ENOSYS)));
    program
}

fn search(ranges: &[(u32, Rule)]) -> Vec<sock_filter> {
    let (left, right) = ranges.split_at(ranges.len() / 2);
    let (Some(_), Some((start, _))) = (left.first(), right.first()) else {
        return ranges.first().map_or_else(Vec::new, |(_, rule)| apply(*rule));
    };
    let (start, left, right) = (*start, search(left), search(right));
    let mut program = Vec::with_capacity(left.len() + right.len() + 2);
    match u8::try_from(left.len()) {
        Ok(distance) => program.push(jump(BPF_JGE, start, distance, 0)),
        Err(_) => program.extend([jump(BPF_JGE, start, 0, 1), leap(left.len())]),
    }
    program.extend(left);
    program.extend(right);
    program
}

fn apply(rule: Rule) -> Vec<sock_filter> {
    let refuse = ret(Rule::Fail(libc::EPERM));
    match rule {
        Rule::Allow | Rule::Fail(_) => vec![ret(rule)],
        Rule::AllowWithoutBits(bits) => {
            vec![load(FIRST_ARGUMENT), jump(BPF_JSET, bits, 0, 1), refuse, ret(Rule::Allow)]
        }
        Rule::AllowOnly(values) => {
            let mut program = vec![load(FIRST_ARGUMENT)];
            for value in values {
                program.extend([jump(BPF_JEQ, *value, 0, 1), ret(Rule::Allow)]);
            }
            program.push(refuse);
            program
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "BPF opcodes are 16 bits; the C library declares them as u32")]
fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0)
}

fn jump(comparison: u32, k: u32, if_true: u8, if_false: u8) -> sock_filter {
    instruction(BPF_JMP | comparison | BPF_K, k, if_true, if_false)
}

fn leap(distance: usize) -> sock_filter {
    instruction(BPF_JMP | libc::BPF_JA, u32::try_from(distance).unwrap_or(u32::MAX), 0, 0)
}

fn ret(rule: Rule) -> sock_filter {
    let value = match rule {
        Rule::Fail(errno) => libc::SECCOMP_RET_ERRNO | errno.unsigned_abs(),
        Rule::Allow | Rule::AllowWithoutBits(_) | Rule::AllowOnly(_) => libc::SECCOMP_RET_ALLOW,
    };
    instruction(BPF_RET | BPF_K, value, 0, 0)
}

/// A kernel's view of a compiled program, for tests.
#[cfg(test)]
pub(super) fn run(program: &[sock_filter], architecture: u32, number: u32, argument: u32) -> Rule {
    let (mut at, mut a) = (0_usize, 0_u32);
    loop {
        let step = program[at];
        let code = u32::from(step.code);
        at += 1;
        let mut branch = |holds: bool| at += usize::from(if holds { step.jt } else { step.jf });
        match code {
            c if c == BPF_LD | BPF_W | BPF_ABS => {
                a = match step.k {
                    NUMBER => number,
                    ARCHITECTURE => architecture,
                    FIRST_ARGUMENT => argument,
                    other => panic!("load at {other}"),
                }
            }
            c if c == BPF_JMP | BPF_JEQ | BPF_K => branch(a == step.k),
            c if c == BPF_JMP | BPF_JGE | BPF_K => branch(a >= step.k),
            c if c == BPF_JMP | BPF_JSET | BPF_K => branch(a & step.k != 0),
            c if c == BPF_JMP | libc::BPF_JA => at += step.k as usize,
            c if c == BPF_RET | BPF_K && step.k == libc::SECCOMP_RET_ALLOW => return Rule::Allow,
            c if c == BPF_RET | BPF_K => return Rule::Fail((step.k & 0xffff).cast_signed()),
            other => panic!("opcode {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: u32 = 7;
    const OTHER: u32 = 8;

    #[test]
    fn every_number_gets_the_rule_of_its_range() {
        // Alternating rules are the worst case: as many ranges as numbers, so that long jumps are needed too.
        let rule = |number: u32| if number.is_multiple_of(2) { Rule::Allow } else { Rule::Fail(libc::EPERM) };
        let table = Table::new(HERE, 400, Rule::Fail(libc::ENOSYS), rule);
        let program = compile(&[Table::new(OTHER, 3, Rule::Allow, |_| Rule::Allow), table]);
        for number in 0..=400 {
            assert_eq!(run(&program, HERE, number, 0), rule(number), "{number}");
        }
        assert_eq!(run(&program, HERE, 401, 0), Rule::Fail(libc::ENOSYS));
        assert_eq!(run(&program, HERE, u32::MAX, 0), Rule::Fail(libc::ENOSYS));
        assert_eq!(run(&program, OTHER, 1, 0), Rule::Allow);
        assert_eq!(run(&program, 9, 1, 0), Rule::Fail(libc::ENOSYS), "an unknown convention");
    }

    #[test]
    fn argument_rules_look_at_the_first_argument() {
        let table = Table::new(HERE, 1, Rule::Allow, |number| match number {
            0 => Rule::AllowWithoutBits(0b110),
            _ => Rule::AllowOnly(&[3, 5]),
        });
        let program = compile(&[table]);
        assert_eq!(run(&program, HERE, 0, 0b001), Rule::Allow);
        assert_eq!(run(&program, HERE, 0, 0b010), Rule::Fail(libc::EPERM));
        assert_eq!(run(&program, HERE, 1, 5), Rule::Allow);
        assert_eq!(run(&program, HERE, 1, 4), Rule::Fail(libc::EPERM));
    }
}
