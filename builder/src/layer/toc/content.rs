//! Digests of a file's content, taken while it is written: of the whole, and of each chunk that is compressed by itself.

use crc_fast::CrcAlgorithm::Crc64GoIso;
use wharf_spec::{Algorithm, Digest, Hasher};

/// What is known about the content of a file that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::layer) struct Content {
    digest: Digest,
    /// CRC-64 as tar-split uses it.
    crc64: u64,
    /// Of several chunks.
    chunks: Vec<Digest>,
}

impl Content {
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(super) fn crc64(&self) -> u64 {
        self.crc64
    }

    /// At least one.
    pub(super) fn chunks(&self) -> &[Digest] {
        if self.chunks.is_empty() { std::slice::from_ref(&self.digest) } else { &self.chunks }
    }
}

/// Takes a content in.
pub(in crate::layer) struct ContentDigester {
    whole: Hasher,
    crc64: crc_fast::Digest,
    /// Of a content of several chunks.
    chunk: Option<Hasher>,
    /// Bytes that the chunk still lacks.
    left: u64,
    chunk_size: u64,
    chunks: Vec<Digest>,
}

impl ContentDigester {
    /// For `size` bytes, of which `first` make the first chunk and `chunk_size` each other one.
    pub(in crate::layer) fn new(size: u64, first: u64, chunk_size: u64) -> Self {
        let hasher = || Hasher::new(Algorithm::Sha256);
        Self {
            whole: hasher(),
            crc64: crc_fast::Digest::new(Crc64GoIso),
            chunk: (size > first).then(hasher),
            left: first,
            chunk_size,
            chunks: Vec::new(),
        }
    }

    pub(in crate::layer) fn update(&mut self, mut bytes: &[u8]) {
        self.whole.update(bytes);
        self.crc64.update(bytes);
        let Some(chunk) = &mut self.chunk else { return };
        while !bytes.is_empty() {
            if self.left == 0 {
                self.chunks.push(std::mem::replace(chunk, Hasher::new(Algorithm::Sha256)).finish());
                self.left = self.chunk_size;
            }
            let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            chunk.update(&bytes[..count]);
            self.left -= count as u64;
            bytes = &bytes[count..];
        }
    }

    pub(in crate::layer) fn finish(mut self) -> Content {
        self.chunks.extend(self.chunk.map(Hasher::finish));
        Content { digest: self.whole.finish(), crc64: self.crc64.finalize(), chunks: self.chunks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_digests_of_their_parts_however_they_come() {
        let bytes: Vec<u8> = (0..1000_u32).map(|n| n.to_le_bytes()[0]).collect();
        for (first, size) in [(300, 300), (1000, 400), (999, 1), (1, 500)] {
            for step in [1, 7, 300, 1000] {
                let mut digester = ContentDigester::new(1000, first, size);
                bytes.chunks(step).for_each(|piece| digester.update(piece));
                let content = digester.finish();
                let (head, rest) = bytes.split_at(usize::try_from(first).unwrap());
                let parts = std::iter::once(head).chain(rest.chunks(usize::try_from(size).unwrap()));
                assert_eq!(content.chunks(), parts.map(Digest::sha256).collect::<Vec<_>>());
                assert_eq!(*content.digest(), Digest::sha256(&bytes));
            }
        }
    }

    #[test]
    fn the_crc_is_that_of_go() {
        let mut digester = ContentDigester::new(9, 9, 9);
        digester.update(b"123456789");
        assert_eq!(digester.finish().crc64(), 0xb909_56c7_75a4_1001);
    }
}
