//! What a blob is, told from its first bytes, and a reader that undoes whichever compression it is.
//!
//! Memory is bounded: zstd windows above 128 MiB and xz dictionaries above 256 MiB are refused.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

use super::tar;

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Not at all, as far as anyone can tell.
    Plain,
    /// gzip, any number of members.
    Gzip,
    /// bzip2, any number of streams.
    Bzip2,
    /// xz, any number of streams.
    Xz,
    /// zstd, any number of frames.
    Zstd,
}

impl From<wharf_spec::Compression> for Format {
    fn from(compression: wharf_spec::Compression) -> Self {
        match compression {
            wharf_spec::Compression::Uncompressed => Self::Plain,
            wharf_spec::Compression::Gzip => Self::Gzip,
            wharf_spec::Compression::Zstd => Self::Zstd,
        }
    }
}

impl Format {
    /// How many first bytes [`Format::detect`] wants to see.
    pub const PEEK: usize = tar::BLOCK;

    /// Tells the format from the first bytes; fewer than [`Format::PEEK`] only when there are no more.
    pub fn detect(head: &[u8]) -> Self {
        // A file called `BZh` may come first in a plain tar, whose checksum gives it away.
        if tar::is_header(head) {
            return Self::Plain;
        }
        match head {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            // An empty stream has its end marker at once.
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// A reader of the uncompressed bytes.
pub struct Decoder<R: Read>(Inner<BufReader<R>>);

enum Inner<B: BufRead> {
    Plain(B),
    Gzip(Box<MultiGzDecoder<B>>),
    Bzip2(MultiBzDecoder<B>),
    Xz(XzDecoder<B>),
    Zstd(zstd::Decoder<'static, B>),
}

/// Compressed bytes are read in pieces of this size.
const INPUT_BUFFER: usize = 256 << 10;
const LARGEST_XZ: u64 = 256 << 20;
const LARGEST_ZSTD_WINDOW_LOG: u32 = 27;

impl<R: Read> Decoder<R> {
    /// Undoes `format`.
    pub fn new(reader: R, format: Format) -> io::Result<Self> {
        let buffered = BufReader::with_capacity(INPUT_BUFFER, reader);
        Ok(Self(match format {
            Format::Plain => Inner::Plain(buffered),
            Format::Gzip => Inner::Gzip(Box::new(MultiGzDecoder::new(buffered))),
            Format::Bzip2 => Inner::Bzip2(MultiBzDecoder::new(buffered)),
            Format::Xz => {
                let stream = Stream::new_stream_decoder(LARGEST_XZ, CONCATENATED).map_err(io::Error::other)?;
                Inner::Xz(XzDecoder::new_stream(buffered, stream))
            }
            Format::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(buffered)?;
                decoder.window_log_max(LARGEST_ZSTD_WINDOW_LOG)?;
                Inner::Zstd(decoder)
            }
        }))
    }

    /// The reader beneath, from which more than the decoded part may have been read.
    pub fn into_inner(self) -> R {
        match self.0 {
            Inner::Plain(inner) => inner,
            Inner::Gzip(decoder) => decoder.into_inner(),
            Inner::Bzip2(decoder) => decoder.into_inner(),
            Inner::Xz(decoder) => decoder.into_inner(),
            Inner::Zstd(decoder) => decoder.finish(),
        }
        .into_inner()
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::Plain(inner) => inner.read(buffer),
            Inner::Gzip(inner) => inner.read(buffer),
            Inner::Bzip2(inner) => inner.read(buffer),
            Inner::Xz(inner) => inner.read(buffer),
            Inner::Zstd(inner) => inner.read(buffer),
        }
    }
}

/// A reader whose first bytes were looked at and put back.
pub type Peeked<R> = Chain<Cursor<Vec<u8>>, R>;

/// Looks at the first bytes of `reader` and puts them back.
pub fn detect<R: Read>(mut reader: R) -> io::Result<(Format, Peeked<R>)> {
    let head = read_head(&mut reader)?;
    Ok((Format::detect(&head), Cursor::new(head).chain(reader)))
}

/// Whether `reader` holds a tar, compressed or not: the test by which `ADD` decides to extract. When it does, the
/// format; in either case the bytes are used up, so open the file again.
pub fn detect_archive(mut reader: impl Read) -> io::Result<Option<Format>> {
    let head = read_head(&mut reader)?;
    let format = Format::detect(&head);
    let mut decoder = Decoder::new(Cursor::new(head).chain(reader), format)?;
    // What does not decompress is a file that happens to begin like that.
    let first = read_head(&mut decoder).unwrap_or_default();
    Ok(tar::is_header(&first).then_some(format))
}

fn read_head(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(Format::PEEK);
    reader.take(Format::PEEK as u64).read_to_end(&mut head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::layer::entry::{Entry, Kind};
    use crate::layer::header;
    use crate::layer::path::LayerPath;

    fn tar_named(name: &str) -> Vec<u8> {
        let mut out = Vec::new();
        header::encode(&Entry::new(LayerPath::parse(name).unwrap(), Kind::Fifo, 0o644), &mut out);
        out.resize(out.len() + 1024, 0);
        out
    }

    fn all_formats(data: &[u8]) -> [(Format, Vec<u8>); 5] {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(data).unwrap();
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        bzip2.write_all(data).unwrap();
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(data).unwrap();
        [
            (Format::Plain, data.to_vec()),
            (Format::Gzip, gzip.finish().unwrap()),
            (Format::Bzip2, bzip2.finish().unwrap()),
            (Format::Xz, xz.finish().unwrap()),
            (Format::Zstd, zstd::encode_all(data, 1).unwrap()),
        ]
    }

    #[test]
    fn every_format_is_told_and_undone() {
        let tar = tar_named("etc/passwd");
        for (format, blob) in all_formats(&tar) {
            assert_eq!(Format::detect(&blob), format);
            // Concatenated streams are one.
            let twice = [blob.clone(), blob.clone()].concat();
            let mut back = Vec::new();
            Decoder::new(twice.as_slice(), format).unwrap().read_to_end(&mut back).unwrap();
            assert!(back == [tar.clone(), tar.clone()].concat(), "{format:?}");
            assert_eq!(detect_archive(blob.as_slice()).unwrap(), Some(format));
            assert_eq!(detect_archive(&blob[..blob.len() / 8]).unwrap(), None, "{format:?}");
        }
        for (format, blob) in all_formats(b"") {
            assert_eq!(Format::detect(&blob), format);
        }
    }

    #[test]
    fn a_tar_that_begins_like_something_else_is_a_tar() {
        for name in ["BZh91AY&SY", "\u{1f}x", "BZh"] {
            assert_eq!(detect_archive(tar_named(name).as_slice()).unwrap(), Some(Format::Plain));
        }
    }

    #[test]
    fn other_files_are_no_archives() {
        for (_, blob) in all_formats(b"#!/bin/sh\necho hello\n") {
            assert_eq!(detect_archive(blob.as_slice()).unwrap(), None);
        }
        assert_eq!(detect_archive(&[0_u8; 2048][..]).unwrap(), None);
        assert_eq!(detect_archive(&[0x1f, 0x8b, 8, 1, 2, 3][..]).unwrap(), None);
    }
}
