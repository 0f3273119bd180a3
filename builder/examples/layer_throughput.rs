//! How fast layers are written and unpacked: `layer_throughput DIRECTORY [SCRATCH]`.
//!
//! Writes DIRECTORY as a layer in each encoding with one thread and with all, then unpacks the gzip layer into SCRATCH.

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use wharf_builder::layer::{
    DiffOptions, Encoding, Expected, Format, LayerIndex, LayerWriter, TarLimits, Tree, UnpackOptions, WriterOptions,
    unpack, write_upper,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let source = arguments.next().ok_or("which directory?")?;
    let all = WriterOptions::new(Encoding::Uncompressed).threads;
    let mut gzip = Vec::new();
    for encoding in
        [Encoding::Uncompressed, Encoding::Gzip { level: 1 }, Encoding::Gzip { level: 6 }, Encoding::Zstd { level: 3 }]
    {
        for threads in [NonZeroUsize::MIN, all] {
            let start = Instant::now();
            let mut writer = LayerWriter::new(Vec::new(), WriterOptions { threads, ..WriterOptions::new(encoding) });
            write_upper(Path::new(&source), &Tree::new(), &DiffOptions::for_root(), &mut writer)?;
            let written = writer.finish()?;
            let (size, from) = (written.digests.size as f64, written.digests.uncompressed_size as f64);
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "write {encoding:?} x{threads}: {:.0} MB/s, ratio {:.3}, {} entries",
                from / 1e6 / seconds,
                size / from,
                written.index.len()
            );
            if encoding == (Encoding::Gzip { level: 6 }) {
                gzip = written.sink;
                let start = Instant::now();
                let encoded = written.index.encode();
                let middle = start.elapsed();
                let decoded = LayerIndex::decode(&encoded)?;
                let decode = start.elapsed() - middle;
                let mut tree = Tree::of([&decoded]);
                let first = start.elapsed() - decode - middle;
                tree.push(&LayerIndex::default());
                println!(
                    "index: {} bytes, encode {middle:?}, decode {decode:?}, tree {first:?}, push and clone {:?}",
                    encoded.len(),
                    start.elapsed() - first - decode - middle
                );
            }
        }
    }
    let from = |seconds: f64, size: u64| size as f64 / 1e6 / seconds;
    let start = Instant::now();
    let (_, index) = LayerIndex::from_tar(gzip.as_slice(), Format::Gzip, TarLimits::default())?;
    println!("index gzip: {:.2} s, {} entries", start.elapsed().as_secs_f64(), index.len());
    if let Some(scratch) = arguments.next() {
        let start = Instant::now();
        let unpacked =
            unpack(gzip.as_slice(), Format::Gzip, Expected::default(), Path::new(&scratch), UnpackOptions::for_root())?;
        println!("unpack gzip: {:.0} MB/s", from(start.elapsed().as_secs_f64(), unpacked.uncompressed_size));
    }
    Ok(())
}
