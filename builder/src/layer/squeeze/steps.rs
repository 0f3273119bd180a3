//! Prefix codes as a machine that knows how long symbols are, and not what they are.
//!
//! The next bits choose a step of a table. It says how many bits go, those after the code word included, and which table
//! comes next. So a symbol costs one look-up, two short literals cost one together, and no branch depends on the data.

use super::bits::Bits;

/// Words of both codes of a block, at most.
pub(super) const MOST_SYMBOLS: usize = 288 + 32;

/// How many bits choose the first step of a symbol. Longer words take a second one.
const LITERAL_BITS: u32 = 10;
const DISTANCE_BITS: u32 = 7;
/// Steps that a refill is enough for. Most bits go when a distance takes its second step, then a length its only one, then
/// a distance its only one.
pub(super) const STEPS_PER_REFILL: usize = 3;
const _: () = assert!((15 - DISTANCE_BITS + 13) + (LITERAL_BITS + 5) + (DISTANCE_BITS + 13) <= 56);

// Where the tables lie.
const DISTANCES: u16 = 1 << LITERAL_BITS;
const ENDS: u16 = DISTANCES + (1 << DISTANCE_BITS);
const SECOND_TABLES: u16 = ENDS + 2;

/// A table: where it begins, and which bits choose a step of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) first: u16,
    pub(super) mask: u16,
}

impl State {
    /// The end of a block. Its step takes nothing and leads to itself; so does the next one's.
    pub(super) const END: Self = Self { first: ENDS, mask: 0 };
    /// After bits that stand for nothing.
    pub(super) const INVALID: Self = Self { first: ENDS + 1, mask: 0 };

    /// The first table of a code of literals and lengths with such words.
    pub(super) fn literals(lengths: &[u8]) -> Self {
        Self::table(0, LITERAL_BITS, lengths)
    }

    /// The first table of a code of distances.
    pub(super) fn distances(lengths: &[u8]) -> Self {
        Self::table(DISTANCES, DISTANCE_BITS, lengths)
    }

    fn table(first: u16, most: u32, lengths: &[u8]) -> Self {
        let longest = lengths.iter().max().map_or(0, |longest| u32::from(*longest));
        Self { first, mask: (1 << most.min(longest)) - 1 }
    }
}

/// Takes bits and leads on.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) bits: u32,
    pub(super) then: State,
}

const NOWHERE: Step = Step { bits: 0, then: State::INVALID };

/// The tables of one block at a time.
pub(super) struct Steps(Vec<Step>);

impl Steps {
    pub(super) fn new() -> Self {
        let mut steps = vec![NOWHERE; SECOND_TABLES.into()];
        steps[usize::from(State::END.first)].then = State::END;
        Self(steps)
    }

    /// What comes next.
    // A reference: its fields are loaded one by one then, which is quicker than to take them out of a copy.
    #[inline]
    pub(super) fn next(&self, state: State, bits: &Bits) -> Option<&Step> {
        self.0.get(usize::from(state.first) + bits.peek(state.mask))
    }

    /// Forgets all second tables.
    pub(super) fn clear(&mut self) {
        self.0.truncate(SECOND_TABLES.into());
    }

    /// Fills the tables of the canonical code whose words are this long. `leaf` says how many bits come after a symbol, and
    /// which table. `None` if there are more words than fit.
    pub(super) fn fill(
        &mut self,
        table: State,
        lengths: &[u8],
        leaf: impl Fn(u16) -> Option<(u32, State)>,
    ) -> Option<()> {
        let (counts, symbols) = canonical(lengths)?;
        let (first, width) = (usize::from(table.first), table.mask.trailing_ones());
        let longest = (1..=15).rev().find(|length| counts[*length as usize] > 0).unwrap_or(0);
        let (mut word, mut symbols) = (0, symbols.into_iter());
        self.0[first] = NOWHERE;
        for length in 1..=longest {
            word <<= 1;
            if length <= width {
                // One bit more: what is there so far is there twice.
                let size = 1 << (length - 1);
                self.0.copy_within(first..first + size, first + size);
            }
            for symbol in symbols.by_ref().take(counts[length as usize]) {
                let step = |bits| leaf(symbol).map_or(NOWHERE, |(extra, then)| Step { bits: bits + extra, then });
                if let Some(more @ 1..) = length.checked_sub(width) {
                    let second = self.second_table(first + reversed(word >> more, width), width, longest - width)?;
                    let place = reversed(word & ((1 << more) - 1), more);
                    second[place..].iter_mut().step_by(1 << more).for_each(|same| *same = step(more));
                } else {
                    self.0[first + reversed(word, length)] = step(length);
                }
                word += 1;
            }
        }
        Some(())
    }

    /// The table of `2^more` steps that the one at `place` leads to.
    fn second_table(&mut self, place: usize, bits: u32, more: u32) -> Option<&mut [Step]> {
        if self.0[place].bits == 0 {
            let then = State { first: u16::try_from(self.0.len()).ok()?, mask: (1 << more) - 1 };
            self.0[place] = Step { bits, then };
            self.0.resize(self.0.len() + (1 << more), NOWHERE);
        }
        let start = usize::from(self.0[place].then.first);
        self.0.get_mut(start..start + (1 << more))
    }

    /// Where two words fit into the bits that choose a step, and the first is a literal, one step takes both.
    pub(super) fn pair_literals(&mut self, literals: State) {
        let width = literals.mask.trailing_ones();
        // From the end: the second is then one that is not a pair yet.
        for place in (1..=usize::from(literals.mask)).rev() {
            let one = self.0[place];
            if one.then == literals {
                let two = self.0[place >> one.bits];
                // Neither has bits after its word.
                let fits = one.bits + two.bits <= width && [literals, State::END].contains(&two.then);
                if fits {
                    self.0[place] = Step { bits: one.bits + two.bits, then: two.then };
                }
            }
        }
    }
}

/// How many words of each length there are, and the symbols in the order of their words (RFC 1951, 3.2.2).
fn canonical(lengths: &[u8]) -> Option<([usize; 16], [u16; MOST_SYMBOLS])> {
    let mut counts = [0; 16];
    for &length in lengths.iter().filter(|length| **length > 0) {
        counts[usize::from(length)] += 1;
    }
    let (mut starts, mut used) = ([0; 16], 0);
    for length in 1..16 {
        starts[length] = starts[length - 1] + counts[length - 1];
        used += counts[length] << (15 - length);
    }
    let mut symbols = [0; MOST_SYMBOLS];
    for (symbol, &length) in (0..).zip(lengths).filter(|(_, length)| **length > 0) {
        let start = &mut starts[usize::from(length)];
        symbols[*start] = symbol;
        *start += 1;
    }
    (used <= 1 << 15).then_some((counts, symbols))
}

/// The bits of a word in the order in which they are read.
fn reversed(word: u32, length: u32) -> usize {
    (word.reverse_bits() >> (32 - length)) as usize
}
