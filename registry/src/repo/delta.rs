//! Blobs sent as what is new in them. A layer that is built again after an edit is nearly the layer before it: what both have in
//! common is copied here, from a blob of the same repository, and need not be sent. What it looks like, [`wharf_spec::delta`] says. Nothing has to be believed: as of every upload, the digest of what came out is verified.

use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use wharf_blobstore::{Blob, BlobStore, ByteStream};
use wharf_spec::delta::Step;
use wharf_spec::{Digest, RepositoryName};

use super::intake::{Arriving, Pieces};
use super::{Repositories, Result};

impl Repositories {
    /// What the delta in this body makes of the blob `base`, which `name` must be able to read. A body that is no delta ends
    /// with an error of the kind [`io::ErrorKind::InvalidData`].
    pub async fn expand(&self, name: &RepositoryName, base: &Digest, body: Arriving) -> Result<Arriving> {
        let base = Base { blob: self.blob(name, base).await?, blobs: self.blobs.clone() };
        Ok(body.through(|delta| {
            let expansion = Expansion { delta, held: Bytes::new(), base, at: 0, open: None, step: Step::New(0) };
            stream::try_unfold(expansion, |mut expansion| async move {
                Ok(expansion.next().await?.map(|piece| (piece, expansion)))
            })
            .boxed()
        }))
    }
}

/// What a delta copies from.
struct Base {
    blobs: BlobStore,
    blob: Blob,
}

/// A delta on its way to becoming a blob.
struct Expansion {
    delta: Pieces,
    /// What came of the delta and was not used yet.
    held: Bytes,
    base: Base,
    /// Up to here, the base was copied or passed over.
    at: u64,
    /// The base's bytes from `at` on, once some were wanted, and those that came of them already.
    open: Option<(ByteStream, Bytes)>,
    /// What is left of it.
    step: Step,
}

impl Expansion {
    /// The blob's next bytes.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.step {
                Step::New(0) | Step::Copy(0) => match self.number().await? {
                    Some(number) => self.begin(Step::decode(number)).await?,
                    None => return Ok(None),
                },
                Step::New(left) => {
                    let piece = first_of(&mut self.held, left);
                    if piece.is_empty() {
                        self.held = self.delta.next().await.ok_or(io::ErrorKind::UnexpectedEof)??;
                    } else {
                        self.step = Step::New(left - piece.len() as u64);
                        return Ok(Some(piece));
                    }
                }
                Step::Copy(left) => {
                    let piece = self.copied(left).await?;
                    self.at += piece.len() as u64;
                    self.step = Step::Copy(left - piece.len() as u64);
                    return Ok(Some(piece));
                }
            }
        }
    }

    async fn begin(&mut self, step: Step) -> io::Result<()> {
        if let Step::Copy(length) = step {
            let from = self.number().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            self.look_for(u64::from_be_bytes(from), length)?;
        }
        self.step = step;
        Ok(())
    }

    /// Goes to where the next bytes to be copied are in the base.
    fn look_for(&mut self, from: u64, length: u64) -> io::Result<()> {
        if from < self.at {
            return Err(invalid(format!("it goes back in its base, from {} to {from}", self.at)));
        }
        let size = self.base.blob.size;
        if from.checked_add(length).is_none_or(|end| end > size) {
            return Err(invalid(format!("it copies {length} bytes at {from} of a base that has {size}")));
        }
        if from > self.at {
            (self.at, self.open) = (from, None);
        }
        Ok(())
    }

    /// The base's next bytes, but no more than so many.
    async fn copied(&mut self, most: u64) -> io::Result<Bytes> {
        let (bytes, came) = match &mut self.open {
            Some(open) => open,
            None => {
                let Base { blobs, blob } = &self.base;
                let bytes = blobs.read(blob, self.at..blob.size).await.map_err(io::Error::other)?;
                self.open.insert((bytes, Bytes::new()))
            }
        };
        while came.is_empty() {
            let next = bytes.next().await.ok_or(io::ErrorKind::UnexpectedEof)?;
            *came = next.map_err(io::Error::other)?;
        }
        Ok(first_of(came, most))
    }

    /// The delta's next number; `None` at its end.
    async fn number(&mut self) -> io::Result<Option<[u8; 8]>> {
        let mut number = BytesMut::with_capacity(8);
        loop {
            number.extend_from_slice(&first_of(&mut self.held, 8 - number.len() as u64));
            if let Some(number) = number.first_chunk() {
                return Ok(Some(*number));
            }
            match self.delta.next().await {
                Some(piece) => self.held = piece?,
                None if number.is_empty() => return Ok(None),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}

/// Takes the first bytes of `held`, but no more than so many.
fn first_of(held: &mut Bytes, most: u64) -> Bytes {
    held.split_to(usize::try_from(most).unwrap_or(usize::MAX).min(held.len()))
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use wharf_blobstore::Store;
    use wharf_spec::delta;

    use super::*;

    const BASE: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

    fn new(bytes: &[u8]) -> Vec<u8> {
        [&delta::new(bytes.len() as u64), bytes].concat()
    }

    fn copy(from: u64, length: u64) -> Vec<u8> {
        delta::copy(from, length).to_vec()
    }

    /// What becomes of a delta that comes in pieces of this length.
    async fn expand(delta: &[u8], piece: usize) -> io::Result<Vec<u8>> {
        let pieces: Vec<_> = delta.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let delta = stream::iter(pieces).boxed();
        let blobs = Store::memory().blobs();
        let base = Base { blob: blobs.put(Bytes::from_static(BASE)).await.unwrap(), blobs };
        let mut expansion = Expansion { delta, held: Bytes::new(), base, at: 0, open: None, step: Step::New(0) };
        let mut blob = Vec::new();
        while let Some(piece) = expansion.next().await? {
            assert!(!piece.is_empty());
            blob.extend_from_slice(&piece);
        }
        Ok(blob)
    }

    #[tokio::test]
    async fn steps_make_the_blob_however_they_arrive() {
        let steps = [copy(0, 3), copy(3, 4), new(b"NEW"), new(b""), copy(7, 0), copy(12, 14), new(b"!")].concat();
        for piece in [1, 3, 8, 1000] {
            assert_eq!(expand(&steps, piece).await.unwrap(), b"abcdefgNEWmnopqrstuvwxyz!", "{piece}");
        }
        assert_eq!(expand(&[], 1).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn what_is_no_delta_is_refused() {
        let refused = [
            ([copy(4, 4), copy(7, 1)].concat(), "it goes back in its base, from 8 to 7"),
            (copy(20, 7), "it copies 7 bytes at 20 of a base that has 26"),
            (copy(u64::MAX, 2), "it copies 2 bytes at 18446744073709551615 of a base that has 26"),
        ];
        for (delta, problem) in refused {
            let error = expand(&delta, 1000).await.unwrap_err();
            assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::InvalidData, problem.to_owned()));
        }
        let whole = [copy(0, 3), new(b"four")].concat();
        // Where a step ends, a delta may end, too.
        for length in (0..whole.len()).filter(|length| ![0, 16].contains(length)) {
            let error = expand(&whole[..length], 1000).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{length}");
        }
    }
}
