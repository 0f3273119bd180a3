//! OCI image layouts (OCI image-spec, "Image Layout"): blobs by digest and an `index.json` that names images.

mod directory;
pub(crate) mod index;
mod sweep;

pub use directory::LayoutDirectory;
pub use index::NamedImage;
