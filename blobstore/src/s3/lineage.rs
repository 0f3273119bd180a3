//! Which writes a record comes from. A write that was not answered may have been carried out, and another may have come
//! over it since; whether it was can be read off the record that lies there then, as long as not too many came.

/// As many writes as a record remembers.
const LONGEST: usize = 32;

/// Digits of one write.
const DIGITS: usize = 16;

/// The write that stands for none: nothing was there.
const NOTHING: u64 = 0;

/// The last writes of a record, the newest first, without a gap. There may have been others before them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lineage(Vec<u64>);

impl Lineage {
    /// Where nothing lies that was ever written.
    pub(super) fn nothing() -> Self {
        Self(vec![NOTHING])
    }

    /// After a write of this number, which is no other's. Of numbers of this size, no two are alike in practice.
    pub(super) fn then(&self, write: u64) -> Self {
        Self(std::iter::once(write).chain(self.0.iter().copied()).take(LONGEST).collect())
    }

    /// Whether this, which lies there, has come over the write that `tried` ends with, or is it; `None` when it cannot be
    /// known. It was not carried out where another was, after the same one.
    pub(super) fn has(&self, tried: &Self) -> Option<bool> {
        let (write, base) = (tried.0.first()?, tried.0.get(1));
        if self.0.contains(write) {
            return Some(true);
        }
        base.filter(|base| self.0.contains(base)).map(|_| false)
    }

    /// Bytes of memory that it takes.
    pub(super) fn size(&self) -> usize {
        size_of_val(self.0.as_slice())
    }

    /// All but the newest, as text: a space and 16 hexadecimal digits for each.
    pub(super) fn earlier(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(self.0.len() * (DIGITS + 1));
        for write in self.0.iter().skip(1) {
            write!(text, " {write:016x}").expect("a string takes everything");
        }
        text
    }

    /// The reverse of [`earlier`](Self::earlier), with the newest.
    pub(super) fn parse(newest: u64, earlier: &str) -> Option<Self> {
        let earlier = earlier.split(' ').skip(1).map(|digits| {
            let hexadecimal = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            hexadecimal.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
        });
        std::iter::once(Some(newest)).chain(earlier).collect::<Option<_>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_carried_out_is_told_from_what_was_not() {
        let created = Lineage::nothing().then(1);
        let tried = created.then(2);
        assert_eq!(tried.has(&tried), Some(true), "it lies there");
        assert_eq!(tried.then(3).then(4).has(&tried), Some(true), "others came over it");
        assert_eq!(created.has(&tried), Some(false), "nothing has changed");
        assert_eq!(created.then(3).then(4).has(&tried), Some(false), "another was first");
        let many = (10..10 + LONGEST as u64 - 1).fold(tried.clone(), |lineage, write| lineage.then(write));
        assert_eq!(many.has(&tried), Some(true));
        assert_eq!(many.then(9).has(&tried), None, "too many came");
        assert_eq!(Lineage::default().then(3).has(&tried), None, "written by somebody who knew of nothing");

        let created = Lineage::nothing().then(5);
        assert_eq!(Lineage::nothing().then(6).has(&created), Some(false), "another created it");
        let unknown = Lineage::default().then(7);
        assert_eq!((unknown.has(&unknown), created.has(&unknown)), (Some(true), None));
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let lineage = (1..100).fold(Lineage::nothing(), |lineage, write| lineage.then(write << 40));
        assert_eq!(Lineage::parse(99 << 40, &lineage.earlier()), Some(lineage));
        assert_eq!(Lineage::parse(3, ""), Some(Lineage::default().then(3)));
        for bad in [" ", " 12", " +000000000000001", " 0000000000000001 ", " 000000000000000g"] {
            assert_eq!(Lineage::parse(3, bad), None, "{bad:?}");
        }
    }
}
