//! What a block is made of, and how often everything occurs in it.
//!
//! A token is two symbols and a number, whatever it stands for: two literals; a literal and nothing; a length and a
//! distance. So whoever writes them has nothing to decide, and what cannot be foreseen is what costs most.
//!
//! | bits | |
//! |---|---|
//! | 0..9 | a literal, or 253 more than the length of a match |
//! | 9..18 | a literal, or 256 more than the symbol of a distance, or [`NOTHING`] |
//! | 18..31 | what to add to the smallest distance of that symbol |

/// How many tokens a block has at most.
pub(super) const MOST_TOKENS: usize = 1 << 15;
/// No second symbol.
pub(super) const NOTHING: u32 = 511;
/// The shortest length there is.
const SHORTEST: u32 = 3;

/// Literals that are no tokens.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// How many tokens come before.
    pub(super) after: usize,
    /// Where they are.
    pub(super) start: usize,
    /// Where they end.
    pub(super) end: usize,
}

/// One block.
pub(super) struct Tokens {
    made: Box<[u32; MOST_TOKENS]>,
    /// How many of them there are.
    pub(super) count: usize,
    pub(super) runs: Vec<Run>,
    /// How often each first symbol occurs, once they are counted.
    pub(super) first: [u32; 512],
    /// The same for the second.
    pub(super) second: [u32; 512],
}

impl Tokens {
    pub(super) fn new() -> Self {
        let made = vec![0; MOST_TOKENS].into_boxed_slice().try_into().expect("as many as that");
        Self { made, count: 0, runs: Vec::new(), first: [0; 512], second: [0; 512] }
    }

    /// Begins another block.
    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.runs.clear();
        self.first.fill(0);
        self.second.fill(0);
    }

    /// Token number `at`, which is below [`MOST_TOKENS`].
    #[inline]
    pub(super) fn set(&mut self, at: usize, token: u32) {
        self.made[at & (MOST_TOKENS - 1)] = token;
    }

    /// The literals of `data[start..end]` come next.
    pub(super) fn run(&mut self, data: &[u8], start: usize, end: usize) {
        if start < end {
            self.runs.push(Run { after: self.count, start, end });
            tally(&data[start..end], &mut self.first);
        }
    }

    /// Counts the symbols of all tokens; those of runs are counted already.
    pub(super) fn tally(&mut self) {
        for token in &self.made[..self.count] {
            self.first[(token & 511) as usize] += 1;
            self.second[(token >> 9 & 511) as usize] += 1;
        }
    }

    pub(super) fn all(&self) -> &[u32] {
        &self.made[..self.count]
    }
}

/// A literal and nothing.
#[inline]
pub(super) fn literal(one: u8) -> u32 {
    u32::from(one) | NOTHING << 9
}

/// Two literals.
#[inline]
pub(super) fn literals([one, two]: [u8; 2]) -> u32 {
    u32::from(one) | u32::from(two) << 9
}

/// A match: `length` is `3..=258`, `distance` `1..=32768`.
#[inline]
pub(super) fn copy(length: u32, distance: u32) -> u32 {
    let before = distance - 1;
    // The two highest bits choose the symbol; the first four distances have their own.
    let extra = (before | 2).ilog2() - 1;
    let symbol = 2 * extra + (before >> extra);
    let rest = before & ((1 << extra) - 1);
    (length - SHORTEST + 256) | (256 + symbol) << 9 | rest << 18
}

/// Adds how often each literal occurs. Four counters for each, as adding to the one just written has to wait for it.
fn tally(data: &[u8], counts: &mut [u32; 512]) {
    let (fours, rest) = data.as_chunks::<4>();
    let mut more = [[0_u32; 256]; 4];
    for four in fours {
        for (counts, literal) in more.iter_mut().zip(four) {
            counts[usize::from(*literal)] += 1;
        }
    }
    for literal in rest {
        counts[usize::from(*literal)] += 1;
    }
    for more in more {
        counts.iter_mut().zip(more).for_each(|(all, more)| *all += more);
    }
}
