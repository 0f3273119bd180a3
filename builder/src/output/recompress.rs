//! `force-compression`: an image whose base's layers are compressed as the new ones are. The files stay the same.

use std::io::{self, Read, Write};

use flate2::write::GzEncoder;
use wharf_spec::{Compression, Descriptor, Digest, Manifest, ManifestView, MediaKind, MediaType, RawManifest};

use crate::error::BuildError;
use crate::layer::{Decoder, Format, LayerFormat};
use crate::request::LayerCompression;
use crate::result::BuildResult;
use crate::solve::{BlobReader, store_bytes};

/// Of gzip and zstd, where none is said: what new layers have.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: u32 = 3;

impl BuildResult {
    /// Compresses the layers anew that are not compressed like this. The image's manifest is another one then.
    pub async fn recompress(&mut self, wanted: LayerCompression) -> Result<(), BuildError> {
        let ManifestView::Manifest(manifest) = self.image.view() else { return Ok(()) };
        let mut layers = Vec::with_capacity(manifest.layers.len());
        for layer in &manifest.layers {
            let MediaKind::Layer(compression) = layer.media_type.kind() else {
                layers.push(layer.clone());
                continue;
            };
            layers.push(if compression == plain(wanted.format) {
                layer.clone()
            } else {
                self.recompressed(layer, compression, wanted).await?
            });
        }
        if layers != manifest.layers {
            self.image = RawManifest::from_manifest(Manifest { layers, ..manifest.clone() });
        }
        Ok(())
    }

    async fn recompressed(
        &self,
        layer: &Descriptor,
        compression: Compression,
        wanted: LayerCompression,
    ) -> Result<Descriptor, BuildError> {
        let blobs = self.files.depot.blobs();
        let gone = || BuildError::io("compress a layer of the base", io::ErrorKind::NotFound.into());
        let blob = blobs.find(&layer.digest).await?.ok_or_else(gone)?;
        let reader = BlobReader::open(blobs, &blob).await?;
        let fill =
            move |to: &mut dyn Write| compress(&mut Decoder::new(reader, Format::from(compression))?, wanted, to);
        let (digest, size): (Digest, u64) = store_bytes(blobs, fill).await?;
        // What was said of the old bytes (where their table of contents is) is not true of the new ones.
        Ok(Descriptor::new(MediaType::layer(plain(wanted.format)).as_str(), digest, size))
    }
}

/// The compression of a format. Tables of contents are written with the files, not afterwards.
fn plain(format: LayerFormat) -> Compression {
    match format {
        LayerFormat::Uncompressed => Compression::Uncompressed,
        LayerFormat::Gzip | LayerFormat::Estargz => Compression::Gzip,
        LayerFormat::Zstd | LayerFormat::ZstdChunked => Compression::Zstd,
    }
}

fn compress(from: &mut dyn Read, wanted: LayerCompression, to: &mut dyn Write) -> io::Result<()> {
    match plain(wanted.format) {
        Compression::Uncompressed => io::copy(from, to).map(drop),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(to, flate2::Compression::new(wanted.level.unwrap_or(GZIP_LEVEL)));
            io::copy(from, &mut encoder)?;
            encoder.finish().map(drop)
        }
        Compression::Zstd => {
            let level = i32::try_from(wanted.level.unwrap_or(ZSTD_LEVEL)).unwrap_or(i32::MAX);
            let mut encoder = zstd::Encoder::new(to, level)?;
            io::copy(from, &mut encoder)?;
            encoder.finish().map(drop)
        }
    }
}
