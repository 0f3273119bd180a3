//! The one sum that OpenSSH's key files leave to the reader: `d mod (p - 1)`.
//!
//! It is done once for each key that the user hands us, on the user's own machine; its duration tells nobody anything.

/// `number mod (modulus - 1)`, big-endian, as long as `modulus`. `None` when that makes no sense.
pub(super) fn modulo_one_less(number: &[u8], modulus: &[u8]) -> Option<Vec<u8>> {
    let mut below = modulus.to_vec();
    // Primes are odd: one less borrows nothing.
    let last = below.last_mut().filter(|last| **last & 1 == 1)?;
    *last -= 1;
    if below.iter().all(|byte| *byte == 0) {
        return None;
    }
    // Bit by bit: double, add the bit, take the modulus off where it fits. One byte more holds what doubling spills.
    let mut rest = vec![0_u8; below.len() + 1];
    below.insert(0, 0);
    for byte in number {
        for bit in (0..8).rev() {
            double_and_add(&mut rest, byte >> bit & 1);
            if rest >= below {
                subtract(&mut rest, &below);
            }
        }
    }
    rest.remove(0);
    Some(rest)
}

fn double_and_add(number: &mut [u8], bit: u8) {
    let mut carry = bit;
    for byte in number.iter_mut().rev() {
        let spilled = *byte >> 7;
        *byte = *byte << 1 | carry;
        carry = spilled;
    }
}

/// `number -= other`, of the same length and not larger.
fn subtract(number: &mut [u8], other: &[u8]) {
    let mut borrow = false;
    for (byte, other) in number.iter_mut().zip(other).rev() {
        let (once, first) = byte.overflowing_sub(*other);
        let (twice, second) = once.overflowing_sub(u8::from(borrow));
        (*byte, borrow) = (twice, first || second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_sum_it_says() {
        for (number, modulus) in
            [(1_000_003_u64, 97_u64), (5, 97), (0xffff_ffff_ffff, 0xffff_fffb), (96, 97), (12_345, 3)]
        {
            let strip =
                |number: u64| number.to_be_bytes().iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>();
            let found = modulo_one_less(&strip(number), &strip(modulus)).unwrap();
            let found = found.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            assert_eq!(found, number % (modulus - 1), "{number} mod {modulus} - 1");
        }
        for bad in [&[][..], &[1], &[4], &[0, 1]] {
            assert_eq!(modulo_one_less(&[7], bad), None, "{bad:?}");
        }
    }
}
