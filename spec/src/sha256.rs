//! SHA-256 of many blocks at once, for x86 processors without instructions of their own for it (most servers older than
//! 2021): there it takes a bit more than half the time of portable code. Elsewhere [`compress`] says no.
//!
//! A block's message schedule depends on that block alone, so two blocks share the vector unit: one in each half of its
//! registers. The rounds are done one block after the other, with that block's half of the schedule.

/// Bytes that are taken in together.
pub(crate) const PAIR: usize = 128;

/// Takes in `pairs` of blocks. `false` when this processor has no use for it; nothing has happened then.
pub(crate) fn compress(state: &mut [u32; 8], pairs: &[[u8; PAIR]]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if x86::is_worth_it() {
        #[expect(unsafe_code, reason = "the instructions are not on every processor")]
        // SAFETY: it was just looked whether they are on this one.
        unsafe {
            x86::compress(state, pairs);
        }
        return true;
    }
    let _ = (state, pairs);
    false
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    #![expect(unsafe_code, reason = "vectors are moved from and to memory")]
    #![expect(clippy::many_single_char_names, reason = "the standard's names (FIPS 180-4, section 6.2)")]

    use std::arch::x86_64::{
        __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_alignr_epi8, _mm256_broadcastsi128_si256, _mm256_or_si256,
        _mm256_set_m128i, _mm256_setr_epi8, _mm256_shuffle_epi8, _mm256_shuffle_epi32, _mm256_slli_epi32,
        _mm256_srli_epi32, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_xor_si256,
    };

    use super::PAIR;

    pub(super) fn is_worth_it() -> bool {
        // Where there are SHA instructions, `sha2` uses them, and they are faster.
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2") && !is_x86_feature_detected!("sha")
    }

    /// The schedule of both blocks with the constants added: in each row four words of the one, then four of the other.
    type Schedule = [[u32; 8]; 16];

    #[target_feature(enable = "avx2,bmi1,bmi2")]
    pub(super) fn compress(state: &mut [u32; 8], pairs: &[[u8; PAIR]]) {
        let mut schedule: Schedule = [[0; 8]; 16];
        for pair in pairs {
            let [mut w0, mut w1, mut w2, mut w3] = [words(pair, 0), words(pair, 1), words(pair, 2), words(pair, 3)];
            for (row, words) in [w0, w1, w2, w3].into_iter().enumerate() {
                put(&mut schedule, row, words);
            }
            let mut now = *state;
            for row in (0..12).step_by(4) {
                w0 = next(w0, w1, w2, w3);
                put(&mut schedule, row + 4, w0);
                w1 = next(w1, w2, w3, w0);
                put(&mut schedule, row + 5, w1);
                now = eight_rounds(now, &schedule, row, 0);
                w2 = next(w2, w3, w0, w1);
                put(&mut schedule, row + 6, w2);
                w3 = next(w3, w0, w1, w2);
                put(&mut schedule, row + 7, w3);
                now = eight_rounds(now, &schedule, row + 2, 0);
            }
            now = eight_rounds(now, &schedule, 12, 0);
            now = eight_rounds(now, &schedule, 14, 0);
            add(state, now);
            now = *state;
            for row in (0..16).step_by(2) {
                now = eight_rounds(now, &schedule, row, 4);
            }
            add(state, now);
        }
    }

    /// Words `4 * row` to `4 * row + 3` of both blocks; they are big-endian.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn words(pair: &[u8; PAIR], row: usize) -> __m256i {
        let bytes: &[[u8; 16]] = pair.as_chunks().0;
        // SAFETY: sixteen bytes are there, and need no alignment.
        let load = |bytes: &[u8; 16]| unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
        #[rustfmt::skip]
        let reversed = _mm256_setr_epi8(
            3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12,
            3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12,
        );
        _mm256_shuffle_epi8(_mm256_set_m128i(load(&bytes[4 + row]), load(&bytes[row])), reversed)
    }

    /// Adds the constants and keeps the sum.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn put(schedule: &mut Schedule, row: usize, words: __m256i) {
        // SAFETY: four words are there, and need no alignment.
        let constants = unsafe { _mm_loadu_si128(CONSTANTS[row].as_ptr().cast()) };
        let sum = _mm256_add_epi32(words, _mm256_broadcastsi128_si256(constants));
        // SAFETY: there is room for eight words, and they need no alignment.
        unsafe { _mm256_storeu_si256(schedule[row].as_mut_ptr().cast(), sum) }
    }

    /// The four words after these sixteen.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn next(w0: __m256i, w1: __m256i, w2: __m256i, w3: __m256i) -> __m256i {
        let fifteen_ago = _mm256_alignr_epi8::<4>(w1, w0);
        let seven_ago = _mm256_alignr_epi8::<4>(w3, w2);
        let sigma = xor(
            _mm256_or_si256(_mm256_srli_epi32::<7>(fifteen_ago), _mm256_slli_epi32::<25>(fifteen_ago)),
            _mm256_or_si256(_mm256_srli_epi32::<18>(fifteen_ago), _mm256_slli_epi32::<14>(fifteen_ago)),
            _mm256_srli_epi32::<3>(fifteen_ago),
        );
        let partial = _mm256_add_epi32(_mm256_add_epi32(w0, seven_ago), sigma);
        // Two words need those two places before; the other two need the first two.
        #[rustfmt::skip]
        let first = _mm256_setr_epi8(
            0, 1, 2, 3, 8, 9, 10, 11, -1, -1, -1, -1, -1, -1, -1, -1,
            0, 1, 2, 3, 8, 9, 10, 11, -1, -1, -1, -1, -1, -1, -1, -1,
        );
        #[rustfmt::skip]
        let last = _mm256_setr_epi8(
            -1, -1, -1, -1, -1, -1, -1, -1, 0, 1, 2, 3, 8, 9, 10, 11,
            -1, -1, -1, -1, -1, -1, -1, -1, 0, 1, 2, 3, 8, 9, 10, 11,
        );
        let partial =
            _mm256_add_epi32(partial, _mm256_shuffle_epi8(other_sigma(_mm256_shuffle_epi32::<0xfa>(w3)), first));
        _mm256_add_epi32(partial, _mm256_shuffle_epi8(other_sigma(_mm256_shuffle_epi32::<0x50>(partial)), last))
    }

    /// In each quarter one word stands twice, so that shifting the quarter rotates the word; the lower half counts.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn other_sigma(twice: __m256i) -> __m256i {
        xor(_mm256_srli_epi64::<17>(twice), _mm256_srli_epi64::<19>(twice), _mm256_srli_epi32::<10>(twice))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn xor(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
        _mm256_xor_si256(_mm256_xor_si256(a, b), c)
    }

    /// Two rows' worth of rounds; the block's words begin at `column`.
    #[expect(clippy::inline_always, reason = "only inside of `compress` may it use that function's instructions")]
    #[inline(always)]
    fn eight_rounds(state: [u32; 8], schedule: &Schedule, row: usize, column: usize) -> [u32; 8] {
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
        let mut bc = b ^ c;
        for word in 0..8 {
            let sum = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            // The two halves have no bit in common, so adding is as good as joining.
            let choice = (e & f).wrapping_add(!e & g);
            let word = schedule[row + word / 4][column + word % 4];
            let first = h.wrapping_add(word).wrapping_add(choice).wrapping_add(sum);
            let sum = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let ab = a ^ b;
            let majority = (ab & bc) ^ b;
            // In the next round these two are called b and c.
            bc = ab;
            (h, g, f, e) = (g, f, e, d.wrapping_add(first));
            (d, c, b, a) = (c, b, a, first.wrapping_add(sum).wrapping_add(majority));
        }
        [a, b, c, d, e, f, g, h]
    }

    #[inline]
    fn add(state: &mut [u32; 8], more: [u32; 8]) {
        for (word, more) in state.iter_mut().zip(more) {
            *word = word.wrapping_add(more);
        }
    }

    /// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
    #[rustfmt::skip]
    static CONSTANTS: [[u32; 4]; 16] = [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5], [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3], [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc], [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7], [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13], [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3], [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5], [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208], [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_portable_code_says() {
        let bytes: Vec<u8> =
            (0_u32..10 * 128).map(|index| index.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
        for pairs in [0, 1, 3, 10] {
            let (pairs, _) = bytes[..pairs * PAIR].as_chunks();
            let (blocks, _) = pairs.as_flattened().as_chunks();
            let mut fast = [1, 2, 3, 4, 5, 6, 7, u32::MAX];
            let mut portable = fast;
            sha2::block_api::compress256(&mut portable, blocks);
            if compress(&mut fast, pairs) {
                assert_eq!(fast, portable);
            } else {
                println!("skipped: this processor does it otherwise");
            }
        }
    }
}
