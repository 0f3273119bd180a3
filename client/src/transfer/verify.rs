//! Checking a stream against the descriptor that promised it, while it passes.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use wharf_spec::{Descriptor, Digest, DigestMismatch, Hasher, RawManifest};

use super::{ByteStream, Error, MAX_MANIFEST, Origin, Result, Target};

/// Passes `bytes` on while hashing them. The last piece is held back until everything is checked, so that nobody can
/// have received all of a wrong blob; bytes over the promised size are never passed on.
pub fn verified(descriptor: &Descriptor, origin: Origin, bytes: ByteStream) -> ByteStream {
    let check = Check {
        expected: descriptor.digest,
        size: descriptor.size,
        origin,
        hasher: Hasher::new(descriptor.digest.algorithm()),
        passed: 0,
    };
    let state = (check, bytes, false);
    futures_util::stream::try_unfold(state, |(mut check, mut bytes, mut ended)| async move {
        while !ended {
            match bytes.try_next().await? {
                Some(piece) if piece.is_empty() => {}
                Some(piece) => {
                    check.take(&piece)?;
                    return Ok(Some((piece, (check, bytes, false))));
                }
                None => {
                    check.end()?;
                    ended = true;
                }
            }
        }
        Ok(None)
    })
    .boxed()
}

struct Check {
    expected: Digest,
    size: u64,
    origin: Origin,
    hasher: Hasher,
    passed: u64,
}

impl Check {
    fn take(&mut self, piece: &Bytes) -> Result<()> {
        self.hasher.update(piece);
        self.passed += piece.len() as u64;
        match self.passed.cmp(&self.size) {
            std::cmp::Ordering::Less => Ok(()),
            std::cmp::Ordering::Equal => self.digest(),
            std::cmp::Ordering::Greater => Err(self.wrong_size()),
        }
    }

    fn end(&self) -> Result<()> {
        if self.passed == self.size { self.digest() } else { Err(self.wrong_size()) }
    }

    fn digest(&self) -> Result<()> {
        let actual = self.hasher.clone().finish();
        if actual == self.expected {
            return Ok(());
        }
        let mismatch = DigestMismatch { expected: self.expected, actual };
        Err(Error::WrongBytes { origin: self.origin.clone(), mismatch })
    }

    fn wrong_size(&self) -> Error {
        Error::WrongSize {
            origin: self.origin.clone(),
            digest: self.expected,
            expected: self.size,
            actual: self.passed,
        }
    }
}

/// Checks a manifest's bytes against the descriptor that led to them, and parses them. A descriptor that does not know
/// the type (an empty one) leaves that to the manifest.
pub(crate) fn parse_manifest(
    bytes: Vec<u8>,
    descriptor: &Descriptor,
    target: &Target,
    origin: &Origin,
) -> Result<RawManifest> {
    let expected = descriptor.digest;
    if bytes.len() as u64 > MAX_MANIFEST {
        return Err(Error::HugeManifest { origin: origin.clone(), target: target.clone() });
    }
    expected.verify(&bytes).map_err(|mismatch| Error::WrongBytes { origin: origin.clone(), mismatch })?;
    let known = Some(&descriptor.media_type).filter(|known| !known.as_str().is_empty());
    RawManifest::parse(bytes, known, expected.algorithm()).map_err(|problem| Error::BadManifest {
        origin: origin.clone(),
        target: target.clone(),
        problem,
    })
}

/// Drops the first `offset` bytes of a stream.
pub(crate) fn skip_bytes(bytes: ByteStream, offset: u64) -> ByteStream {
    if offset == 0 {
        return bytes;
    }
    let mut left = offset;
    let skip = move |mut piece: Bytes| {
        let cut = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
        left -= cut as u64;
        piece.split_off(cut)
    };
    bytes.map_ok(skip).try_filter(|piece| std::future::ready(!piece.is_empty())).boxed()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn pieces(parts: &[&'static str]) -> ByteStream {
        stream::iter(parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect::<Vec<_>>()).boxed()
    }

    async fn read(promised: &str, parts: &[&'static str]) -> (String, Option<Error>) {
        let descriptor = Descriptor::new("text/plain", Digest::sha256(promised.as_bytes()), promised.len() as u64);
        let mut stream = verified(&descriptor, Origin::Stream, pieces(parts));
        let mut seen = String::new();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => seen.push_str(std::str::from_utf8(&piece).unwrap()),
                Err(error) => return (seen, Some(error)),
            }
        }
        (seen, None)
    }

    #[tokio::test]
    async fn right_bytes_pass() {
        let (seen, error) = read("hello world", &["hello", " ", "", "world"]).await;
        assert_eq!((seen.as_str(), error.is_none()), ("hello world", true));
        assert!(read("", &[]).await.1.is_none());
    }

    #[tokio::test]
    async fn wrong_bytes_never_pass_completely() {
        let (seen, error) = read("hello world", &["hello", " ", "World"]).await;
        assert_eq!(seen, "hello ");
        assert!(matches!(error, Some(Error::WrongBytes { .. })));
        let (seen, error) = read("hello", &["hel"]).await;
        assert_eq!(seen, "hel");
        assert!(matches!(error, Some(Error::WrongSize { expected: 5, actual: 3, .. })));
        let (seen, error) = read("hello", &["hello", "x"]).await;
        assert_eq!(seen, "hello", "right so far, and the stream fails before it ends");
        assert!(matches!(error, Some(Error::WrongSize { expected: 5, actual: 6, .. })));
    }

    #[tokio::test]
    async fn skipping_counts_bytes_not_pieces() {
        for (offset, left) in [(0, "abcdef"), (2, "cdef"), (3, "def"), (6, ""), (9, "")] {
            let pieces: Vec<Bytes> = skip_bytes(pieces(&["abc", "d", "ef"]), offset).try_collect().await.unwrap();
            assert_eq!(pieces.concat(), left.as_bytes());
        }
    }
}
