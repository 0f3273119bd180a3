//! Codes of limited length (RFC 1951, 3.2.2).

#![expect(clippy::cast_possible_truncation, reason = "symbols, nodes and lengths are small")]

/// The most symbols a code has.
pub(super) const MOST_SYMBOLS: usize = 288;
/// Leaves further down are not told apart. A tree this deep takes more leaves than a block has symbols.
const DEEPEST: usize = 31;

/// How many bits each symbol gets that occurs `counts` times: at most `limit`, none if it does not occur. There are at
/// least two words, as not every reader takes a code with fewer.
pub(super) fn lengths(counts: &[u32], limit: usize, lengths: &mut [u8]) {
    lengths.fill(0);
    let mut sorted = [(0, 0); MOST_SYMBOLS];
    let mut used = 0;
    for (symbol, &count) in counts.iter().enumerate() {
        sorted[used] = (count, symbol as u16);
        used += usize::from(count > 0);
    }
    if used < 2 {
        let only = if used == 1 { usize::from(sorted[0].1) } else { 0 };
        lengths[only] = 1;
        lengths[usize::from(only == 0)] = 1;
        return;
    }
    let sorted = &mut sorted[..used];
    sorted.sort_unstable();
    let mut sizes = depths(sorted);
    limit_depths(&mut sizes, limit);
    // The rarest get the longest.
    let mut symbols = sorted.iter();
    for length in (1..=limit).rev() {
        for (_, symbol) in symbols.by_ref().take(sizes[length]) {
            lengths[usize::from(*symbol)] = length as u8;
        }
    }
}

/// How many leaves of Huffman's tree there are at each depth.
fn depths(sorted: &[(u32, u16)]) -> [usize; DEEPEST + 1] {
    // Nodes in the order in which they are made, which is the order of their weights, too.
    let mut weights = [u32::MAX; MOST_SYMBOLS];
    let (mut parents, mut leaf_parents) = ([0_u16; MOST_SYMBOLS], [0_u16; MOST_SYMBOLS]);
    let (mut leaf, mut node) = (0, 0);
    let nodes = sorted.len() - 1;
    for made in 0..nodes {
        let mut weight = 0;
        for _ in 0..2 {
            match sorted.get(leaf) {
                Some((lightest, _)) if *lightest <= weights[node] => {
                    weight += lightest;
                    leaf_parents[leaf] = made as u16;
                    leaf += 1;
                }
                _ => {
                    weight += weights[node];
                    parents[node] = made as u16;
                    node += 1;
                }
            }
        }
        weights[made] = weight;
    }
    let mut depth = [0; MOST_SYMBOLS];
    for node in (0..nodes - 1).rev() {
        depth[node] = depth[usize::from(parents[node])] + 1;
    }
    let mut sizes = [0; DEEPEST + 1];
    for parent in &leaf_parents[..sorted.len()] {
        sizes[DEEPEST.min(depth[usize::from(*parent)] + 1)] += 1;
    }
    sizes
}

/// Moves leaves up to `limit`, and others down to make room for them.
fn limit_depths(sizes: &mut [usize; DEEPEST + 1], limit: usize) {
    let deep: usize = sizes[limit + 1..].iter().sum();
    if deep == 0 {
        return;
    }
    sizes[limit] += deep;
    let mut taken: usize = (1..=limit).map(|depth| sizes[depth] << (limit - depth)).sum();
    // Each time one of the deepest goes beside a leaf from higher up, below the node that takes that one's place.
    while taken > 1 << limit {
        if let Some(depth) = (1..limit).rev().find(|depth| sizes[*depth] > 0) {
            sizes[limit] -= 1;
            sizes[depth] -= 1;
            sizes[depth + 1] += 2;
        }
        taken -= 1;
    }
}

/// The words of the code with these lengths, ready to be written.
pub(super) fn words(lengths: &[u8], words: &mut [u16]) {
    let mut sizes = [0_u16; 16];
    for length in lengths.iter().filter(|length| **length > 0) {
        sizes[usize::from(*length & 15)] += 1;
    }
    let mut next = [0_u16; 16];
    for length in 1..16 {
        next[length] = (next[length - 1] + sizes[length - 1]) << 1;
    }
    for (word, length) in words.iter_mut().zip(lengths) {
        let next = &mut next[usize::from(length & 15)];
        *word = next.reverse_bits().checked_shr(16 - u32::from(*length)).unwrap_or(0);
        *next += u16::from(*length > 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every code is complete, none is longer than allowed, and what is more frequent is not longer.
    fn check(counts: &[u32], limit: usize) -> Vec<u8> {
        let mut bits = vec![0; counts.len()];
        lengths(counts, limit, &mut bits);
        let taken: usize = bits.iter().filter(|bits| **bits > 0).map(|bits| (1 << limit) >> bits).sum();
        assert_eq!(taken, 1 << limit);
        assert!(bits.iter().all(|bits| usize::from(*bits) <= limit));
        let mut both: Vec<_> = counts.iter().zip(&bits).filter(|(count, _)| **count > 0).collect();
        both.sort_by_key(|(count, bits)| (**count, std::cmp::Reverse(**bits)));
        assert!(both.iter().all(|(_, bits)| **bits > 0));
        assert!(both.windows(2).all(|two| two[0].1 >= two[1].1));
        bits
    }

    #[test]
    fn fibonacci_counts_reach_the_limit() {
        let mut counts = vec![1, 1];
        while counts.len() < 24 {
            counts.push(counts[counts.len() - 1] + counts[counts.len() - 2]);
        }
        assert_eq!(check(&counts, 15).into_iter().max(), Some(15));
        assert_eq!(check(&counts, 7).into_iter().max(), Some(7));
        assert_eq!(check(&counts[..4], 7), [3, 3, 2, 1]);
    }

    #[test]
    fn there_are_always_two_words() {
        assert_eq!(check(&[0, 0, 0], 7), [1, 1, 0]);
        assert_eq!(check(&[9, 0, 0], 7), [1, 1, 0]);
        assert_eq!(check(&[0, 0, 9], 7), [1, 0, 1]);
    }

    #[test]
    fn words_of_the_specification() {
        let mut made = [0; 8];
        words(&[3, 3, 3, 3, 3, 2, 4, 4], &mut made);
        assert_eq!(made, [0b010, 0b110, 0b001, 0b101, 0b011, 0b00, 0b0111, 0b1111]);
    }

    proptest! {
        #[test]
        fn any_counts_have_a_code(counts in proptest::collection::vec(0..20_u32, 2..288), shift in 0..5_u32) {
            let counts: Vec<u32> = counts.iter().map(|count| (1 << count) >> shift).collect();
            check(&counts, 14);
        }
    }
}
