//! `force-compression`: an image whose base's layers are compressed as the new ones are. The files stay the same.

use std::io::{self, Read, Write};

use flate2::write::GzEncoder;
use wharf_spec::{Compression, Descriptor, Digest, Manifest, ManifestView, MediaKind, MediaType, RawManifest};

use crate::error::BuildError;
use crate::layer::{Decoder, Encoding, Format};
use crate::request::LayerCompression;
use crate::result::BuildResult;
use crate::solve::{BlobReader, store_bytes};

impl BuildResult {
    /// Compresses the layers anew that are not compressed like this. The image's manifest is another one then.
    pub async fn recompress(&mut self, wanted: LayerCompression) -> Result<(), BuildError> {
        let ManifestView::Manifest(manifest) = self.image.view() else { return Ok(()) };
        let wanted = Encoding::new(wanted.format, wanted.level);
        let mut layers = Vec::with_capacity(manifest.layers.len());
        for layer in &manifest.layers {
            let MediaKind::Layer(compression) = layer.media_type.kind() else {
                layers.push(layer.clone());
                continue;
            };
            layers.push(if compression == wanted.compression() {
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
        wanted: Encoding,
    ) -> Result<Descriptor, BuildError> {
        let blobs = self.files.depot.blobs();
        let gone = || BuildError::io("compress a layer of the base", io::ErrorKind::NotFound.into());
        let blob = blobs.find(&layer.digest).await?.ok_or_else(gone)?;
        let reader = BlobReader::open(blobs, &blob).await?;
        let fill =
            move |to: &mut dyn Write| compress(&mut Decoder::new(reader, Format::from(compression))?, wanted, to);
        let (digest, size): (Digest, u64) = store_bytes(blobs, fill).await?;
        // What was said of the old bytes (where their table of contents is) is not true of the new ones.
        Ok(Descriptor::new(MediaType::layer(wanted.compression()).as_str(), digest, size))
    }
}

/// Tables of contents are written with the files, not afterwards: here, formats that have one are as those that have none.
fn compress(from: &mut dyn Read, wanted: Encoding, to: &mut dyn Write) -> io::Result<()> {
    match wanted {
        Encoding::Uncompressed => io::copy(from, to).map(drop),
        Encoding::Gzip { level } | Encoding::Estargz { level } => {
            let mut encoder = GzEncoder::new(to, flate2::Compression::new(level));
            io::copy(from, &mut encoder)?;
            encoder.finish().map(drop)
        }
        Encoding::Zstd { level } | Encoding::ZstdChunked { level } => {
            let mut encoder = zstd::Encoder::new(to, level)?;
            io::copy(from, &mut encoder)?;
            encoder.finish().map(drop)
        }
    }
}
