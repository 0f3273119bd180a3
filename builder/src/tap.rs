//! Layers' bytes for whoever wants them while they are written, such as a push that need not wait for the end of a build.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use wharf_spec::Digest;

use crate::layer::Copied;

/// Sees one layer being written. Dropped before [`LayerTap::named`], there is no such layer. Nothing here may wait: the
/// build does not.
pub trait LayerTap: Send {
    /// Before the first bytes: the file that takes them in, where the store keeps files. It can be read while it grows; what
    /// came last may not have arrived there.
    fn file(&mut self, file: Arc<File>);

    /// Before the first bytes: a blob that this one may have much in common with.
    fn resembles(&mut self, base: Digest);

    /// Before the bytes themselves: that blob has them, too. In the order of this one.
    fn copied(&mut self, copied: Copied);

    /// The next bytes of its blob.
    fn bytes(&mut self, piece: &Bytes);

    /// That was all: the blob is called this and so many bytes long. It may not be in the store yet.
    fn named(self: Box<Self>, digest: Digest, size: u64);
}

/// Asked once for each layer that becomes one of the image's.
pub type Taps = Arc<dyn Fn() -> Box<dyn LayerTap> + Send + Sync>;
