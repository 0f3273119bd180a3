//! `Range` and `Content-Range` (RFC 9110, section 14; distribution-spec, "Pushing a blob in chunks").

use std::ops::Range;

use crate::repo::ChunkRange;

/// Ranges in one request; more are answered with the whole. Podman asks for up to 1024 parts of a layer at once.
const MAX_RANGES: usize = 2048;

/// What a `Range` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything: there is no header, or one that must be ignored.
    Whole,
    /// These parts, never empty, each inside the content.
    Parts(Vec<Range<u64>>),
    /// Nothing that exists: 416.
    Unsatisfiable,
}

/// Reads a `Range` header for content of `size` bytes. A header that is no range of bytes is ignored, as RFC 9110 asks.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some(list) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else { return Wanted::Whole };
    // containerd asks for `bytes=0-` of everything, also of what is empty.
    if size == 0 && list.trim() == "0-" {
        return Wanted::Whole;
    }
    let (mut parts, mut unsatisfiable) = (Vec::new(), false);
    for spec in list.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
        match one(spec, size) {
            Some(Ok(part)) => parts.push(part),
            Some(Err(())) => unsatisfiable = true,
            None => return Wanted::Whole,
        }
    }
    match parts.len() {
        0 if unsatisfiable => Wanted::Unsatisfiable,
        0 => Wanted::Whole,
        too_many if too_many > MAX_RANGES => Wanted::Whole,
        // Overlapping parts that are more than the whole are an attack or a mistake (RFC 9110, section 17.15).
        2.. if parts.iter().map(|part| part.end - part.start).sum::<u64>() > size => Wanted::Whole,
        _ => Wanted::Parts(parts),
    }
}

/// `None` when it is no range, `Err` when it lies outside.
fn one(spec: &str, size: u64) -> Option<Result<Range<u64>, ()>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(if suffix == 0 || size == 0 { Err(()) } else { Ok(size.saturating_sub(suffix)..size) });
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    Some(if first > last || first >= size { Err(()) } else { Ok(first..last.saturating_add(1).min(size)) })
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Digits that do not fit mean "further than anything".
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Reads a chunk's `Content-Range`: `<first>-<last>`, inclusive; `bytes ` in front and `/<size>` behind are tolerated.
pub(super) fn chunk(header: &str) -> Option<ChunkRange> {
    let plain = header.trim().strip_prefix("bytes ").unwrap_or(header.trim());
    let plain = plain.split('/').next().unwrap_or_default();
    let (start, end) = plain.split_once('-')?;
    let (start, end) = (number(start)?, number(end)?);
    (start <= end && end < u64::MAX).then_some(ChunkRange { start, end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let part = |range: Range<u64>| Wanted::Parts(vec![range]);
        for (header, expected) in [
            ("bytes=0-", part(0..10)),
            ("bytes=0-0", part(0..1)),
            ("bytes=2-4", part(2..5)),
            ("bytes=2-400", part(2..10)),
            ("bytes=-3", part(7..10)),
            ("bytes=-300", part(0..10)),
            ("bytes=9-99999999999999999999999", part(9..10)),
            ("bytes=0-1, 4-5", Wanted::Parts(vec![0..2, 4..6])),
            ("bytes=0-1,50-60", part(0..2)),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=5-0", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("bytes=1", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(header), 10), expected, "{header}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=1-"), 0), Wanted::Unsatisfiable);
        assert_eq!(wanted(Some("bytes=0-5,4-9"), 10), Wanted::Whole, "more than the whole");
        let many: Vec<_> = (0..1024).map(|part| format!("{}-{}", part * 2, part * 2)).collect();
        let Wanted::Parts(parts) = wanted(Some(&format!("bytes={}", many.join(","))), 1 << 20) else { panic!() };
        assert_eq!(parts.len(), 1024);
    }

    #[test]
    fn chunks_are_inclusive() {
        assert_eq!(chunk("0-9"), Some(ChunkRange { start: 0, end: 9 }));
        assert_eq!(chunk("bytes 5-9/100"), Some(ChunkRange { start: 5, end: 9 }));
        for bad in ["", "5", "9-5", "a-b", "-5", "5-", "0-18446744073709551615"] {
            assert_eq!(chunk(bad), None, "{bad}");
        }
    }
}
