//! `index.json`: which images a layout holds, and under which names.

use std::collections::BTreeMap;

use wharf_spec::{Descriptor, Index, MediaType, Reference, Tag};

use crate::transfer::Target;

/// The file that says this is a layout.
pub(crate) const LAYOUT_FILE: &str = "oci-layout";

/// Its content.
pub(crate) const LAYOUT_VERSION: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// The file that lists the images.
pub(crate) const INDEX_FILE: &str = "index.json";

/// The name an image has in a layout; most tools put the tag there, some a whole reference.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The whole reference, as containerd and Docker write it.
const IMAGE_NAME: &str = "io.containerd.image.name";

/// Where the blob with this digest is, below the layout.
pub(crate) fn blob_path(digest: &wharf_spec::Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// An image of a layout or archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedImage {
    /// Its name as it is written there: a tag, a reference, or nothing.
    pub name: Option<String>,
    /// What it is.
    pub descriptor: Descriptor,
}

impl NamedImage {
    pub(crate) fn of(entry: &Descriptor) -> Self {
        let name = entry.annotations.get(IMAGE_NAME).or_else(|| entry.annotations.get(REF_NAME));
        Self { name: name.cloned(), descriptor: plain(entry) }
    }

    /// The name as a tag: its own, or that of the reference it is.
    pub fn tag(&self) -> Option<Tag> {
        let name = self.name.as_deref()?;
        name.parse().ok().or_else(|| name.parse::<Reference>().ok()?.tag)
    }

    /// The name as a reference, when it says more than a tag.
    pub fn reference(&self) -> Option<Reference> {
        let name = self.name.as_deref()?;
        name.contains(['/', ':']).then(|| name.parse().ok()).flatten()
    }
}

/// An entry without the annotations that belong to the list, not to the image.
fn plain(entry: &Descriptor) -> Descriptor {
    let mut entry = entry.clone();
    entry.annotations.remove(REF_NAME);
    entry.annotations.remove(IMAGE_NAME);
    entry
}

/// An empty list.
pub(crate) fn empty() -> Index {
    Index {
        schema_version: 2,
        media_type: Some(MediaType::new(MediaType::OCI_INDEX)),
        artifact_type: None,
        manifests: Vec::new(),
        subject: None,
        annotations: BTreeMap::new(),
    }
}

/// The entry `target` names. A layout with a single image answers to `latest` whatever the image is called: that is what
/// is meant when nobody says anything.
pub(crate) fn pick<'a>(index: &'a Index, target: &Target) -> Option<&'a Descriptor> {
    match target {
        Target::Digest(digest) => index.manifests.iter().find(|entry| entry.digest == *digest),
        Target::Tag(wanted) => {
            let tagged = |entry: &&Descriptor| NamedImage::of(entry).tag().as_ref() == Some(wanted);
            // The last one, when a careless writer listed a name twice.
            index.manifests.iter().rev().find(tagged).or(match index.manifests.as_slice() {
                [only] if *wanted == Tag::latest() => Some(only),
                _ => None,
            })
        }
    }
}

/// Lists an image under a name; a name that was taken moves.
pub(crate) fn add(index: &mut Index, descriptor: &Descriptor, tag: Option<&Tag>, reference: Option<&Reference>) {
    let mut entry = plain(descriptor);
    if let Some(tag) = tag {
        entry.annotations.insert(REF_NAME.to_owned(), tag.to_string());
    }
    if let Some(reference) = reference {
        entry.annotations.insert(IMAGE_NAME.to_owned(), reference.to_string());
    }
    let same = |known: &Descriptor| match (tag, reference) {
        (None, None) => known.digest == entry.digest,
        (_, Some(reference)) => known.annotations.get(IMAGE_NAME) == Some(&reference.to_string()),
        (Some(tag), None) => known.annotations.get(REF_NAME).map(String::as_str) == Some(tag.as_str()),
    };
    if tag.is_none() && reference.is_none() && index.manifests.iter().any(same) {
        return;
    }
    index.manifests.retain(|known| !same(known));
    index.manifests.push(entry);
}

#[cfg(test)]
mod tests {
    use wharf_spec::Digest;

    use super::*;

    fn tag(text: &str) -> Tag {
        text.parse().unwrap()
    }

    fn image(text: &str) -> Descriptor {
        Descriptor::new(MediaType::OCI_MANIFEST, Digest::sha256(text.as_bytes()), 1)
    }

    fn find(index: &Index, name: &str) -> Option<Digest> {
        pick(index, &Target::Tag(tag(name))).map(|entry| entry.digest)
    }

    #[test]
    fn a_name_moves_to_the_last_image_that_took_it() {
        let mut index = empty();
        add(&mut index, &image("a"), Some(&tag("1")), None);
        add(&mut index, &image("b"), Some(&tag("2")), None);
        add(&mut index, &image("c"), Some(&tag("1")), None);
        add(&mut index, &image("c"), None, None);
        assert_eq!(index.manifests.len(), 2);
        assert_eq!(find(&index, "1"), Some(image("c").digest));
        assert_eq!(find(&index, "latest"), None);
    }

    #[test]
    fn every_way_to_write_a_name_is_found() {
        for (key, name) in [(REF_NAME, "v1"), (REF_NAME, "h.example/a:v1"), (IMAGE_NAME, "docker.io/library/a:v1")] {
            let mut index = empty();
            let mut entry = image("a");
            entry.annotations.insert(key.into(), name.into());
            index.manifests = vec![image("other"), entry];
            assert_eq!(find(&index, "v1"), Some(image("a").digest), "{name}");
        }
    }

    #[test]
    fn an_only_image_needs_no_name() {
        let mut index = empty();
        index.manifests.push(image("a"));
        assert_eq!(find(&index, "latest"), Some(image("a").digest));
        assert_eq!(find(&index, "v1"), None);
    }
}
