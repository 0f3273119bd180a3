//! Any bytes at all: parsing ends, and without panic.

use proptest::prelude::*;
use wharf_builder::layer::{Decoder, Format, LayerIndex, TarLimits, TarReader, detect_archive};

use super::{dir, file, hardlink, symlink, writer};

const LIMITS: TarLimits = TarLimits { bytes: 1 << 24, entries: 1000 };

fn good() -> Vec<u8> {
    let mut layer = writer();
    layer.append(dir("etc")).unwrap();
    let mut passwd = file("etc/passwd", 700);
    passwd.mtime.nanos = 5;
    passwd.xattrs.insert(b"user.x".to_vec(), b"y".to_vec());
    layer.append_file(passwd, &[7; 700][..]).unwrap();
    layer.append(symlink("link", &"t".repeat(120))).unwrap();
    layer.append(hardlink("hard", "etc/passwd")).unwrap();
    layer.finish().unwrap().sink
}

/// Rewrites the checksum of the header at `block` so that damage gets past it.
fn repair(tar: &mut [u8], block: usize) {
    let header = &mut tar[block * 512..(block + 1) * 512];
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

proptest! {
    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        for format in [Format::Plain, Format::Gzip, Format::Bzip2, Format::Xz, Format::Zstd] {
            let _ = LayerIndex::from_tar(bytes.as_slice(), format, LIMITS);
        }
        let _ = detect_archive(bytes.as_slice());
        let _ = LayerIndex::decode(&bytes);
    }

    #[test]
    fn damaged_tars(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
        let mut tar = good();
        for (at, byte) in &changes {
            let at = at.index(tar.len());
            tar[at] = *byte;
        }
        for (at, _) in &changes {
            repair(&mut tar, at.index(good().len()) / 512);
        }
        let _ = LayerIndex::from_tar(tar.as_slice(), Format::Plain, LIMITS);
        let _ = LayerIndex::from_tar(&tar[..cut.index(tar.len())], Format::Plain, LIMITS);
        let dest = tempfile::tempdir().unwrap();
        let _ = super::unpack_plain(&tar, dest.path());
    }

    #[test]
    fn headers_of_anything(mut block in prop::collection::vec(any::<u8>(), 512..3000), flag in prop::sample::select(b"0123456789xgLKSVM\0".to_vec())) {
        block[156] = flag;
        repair(&mut block, 0);
        let mut tar = TarReader::new(block.as_slice(), LIMITS);
        while let Ok(Some(_)) = tar.next_entry() {
            while let Ok([_, ..]) = tar.content() {}
        }
    }
}

#[test]
fn cut_anywhere_is_an_error_or_a_shorter_archive() {
    let tar = good();
    let whole = LayerIndex::from_tar(tar.as_slice(), Format::Plain, LIMITS).unwrap().1;
    assert_eq!(whole.len(), 4);
    for end in 0..tar.len() {
        match LayerIndex::from_tar(&tar[..end], Format::Plain, LIMITS) {
            Ok((_, index)) => assert!(end % 512 == 0 && index.len() <= whole.len(), "{end}"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn decoders_give_back_the_reader() {
    let blob = zstd::encode_all(&good()[..], 1).unwrap();
    let (format, peeked) = wharf_builder::layer::detect(blob.as_slice()).unwrap();
    assert_eq!(format, Format::Zstd);
    let mut back = Vec::new();
    let mut decoder = Decoder::new(peeked, format).unwrap();
    std::io::Read::read_to_end(&mut decoder, &mut back).unwrap();
    assert!(back == good());
}
