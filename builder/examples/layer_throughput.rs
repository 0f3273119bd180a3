//! How fast layers are written, indexed and unpacked: `layer_throughput DIRECTORY [SCRATCH]`.
//!
//! Writes DIRECTORY as a layer in each encoding, with one thread and with all, then indexes the gzip layer and, when
//! SCRATCH is an empty directory, unpacks it there.

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use wharf_builder::layer::{
    DiffOptions, Encoding, Expected, Format, LayerIndex, LayerWriter, TarLimits, Tree, UnpackOptions, WriterOptions,
    WrittenLayer, unpack, write_upper,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let source = arguments.next().ok_or("which directory?")?;
    let all = WriterOptions::new(Encoding::Uncompressed).threads;
    let encodings =
        [Encoding::Uncompressed, Encoding::Zstd { level: 3 }, Encoding::Gzip { level: 1 }, Encoding::Gzip { level: 6 }];
    let mut last = None;
    for encoding in encodings {
        for threads in [NonZeroUsize::MIN, all] {
            let (layer, time) = timed(|| write(Path::new(&source), encoding, threads));
            let layer = layer?;
            let (size, tar) = (layer.digests.size, layer.digests.uncompressed_size);
            let ratio = size * 1000 / tar;
            println!("write {encoding:?} with {threads} threads: {}, {ratio} per mille", rate(tar, time));
            last = Some(layer);
        }
    }
    let layer = last.ok_or("nothing written")?;
    measure_index(&layer)?;
    if let Some(scratch) = arguments.next() {
        let options = UnpackOptions::for_root();
        let blob = layer.sink.as_slice();
        let (unpacked, time) = timed(|| unpack(blob, Format::Gzip, Expected::default(), Path::new(&scratch), options));
        println!("unpack gzip: {}", rate(unpacked?.uncompressed_size, time));
    }
    Ok(())
}

fn write(source: &Path, encoding: Encoding, threads: NonZeroUsize) -> Result<WrittenLayer<Vec<u8>>, Box<dyn Error>> {
    let mut writer = LayerWriter::new(Vec::new(), WriterOptions { threads, ..WriterOptions::new(encoding) });
    write_upper(source, &Tree::new(), &DiffOptions::for_root(), &mut writer)?;
    Ok(writer.finish()?)
}

fn measure_index(layer: &WrittenLayer<Vec<u8>>) -> Result<(), Box<dyn Error>> {
    let (encoded, encoding) = timed(|| layer.index.encode());
    let (decoded, decoding) = timed(|| LayerIndex::decode(&encoded));
    let (tree, merging) = timed(|| Tree::of([&layer.index]));
    let ((), pushing) = timed(|| {
        let mut tree = tree.clone();
        tree.push(&LayerIndex::default());
    });
    let (entries, bytes) = (decoded?.len(), encoded.len());
    println!("index: {entries} entries in {bytes} bytes, encode {encoding:?}, decode {decoding:?}");
    println!("tree: {merging:?}, one small layer more {pushing:?}");
    let (indexed, time) = timed(|| LayerIndex::from_tar(layer.sink.as_slice(), Format::Gzip, TarLimits::default()));
    indexed?;
    println!("index gzip: {}", rate(layer.digests.uncompressed_size, time));
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

fn rate(bytes: u64, time: Duration) -> String {
    // Bytes per microsecond are megabytes per second.
    format!("{} MB/s", u128::from(bytes) / time.as_micros().max(1))
}
