//! Which image of an index serves a platform. Decided here and nowhere else.

use wharf_spec::{Descriptor, Index, Platform};

/// The entry of `index` for `wanted`: one that says exactly that platform, else the first that satisfies it
/// ([`Platform::satisfies`]), else the only entry when it does not say what it runs on.
pub fn choose_platform<'a>(index: &'a Index, wanted: &Platform) -> Option<&'a Descriptor> {
    let on = |test: &dyn Fn(&Platform) -> bool| {
        index.manifests.iter().find(|entry| entry.platform.as_ref().is_some_and(test))
    };
    on(&|platform| platform == wanted).or_else(|| on(&|platform| platform.satisfies(wanted))).or_else(|| {
        match index.manifests.as_slice() {
            [only] if only.platform.is_none() => Some(only),
            _ => None,
        }
    })
}

/// What `index` has images for; attestations (`unknown/unknown`) are no images.
pub(super) fn offered_platforms(index: &Index) -> Vec<Platform> {
    index
        .manifests
        .iter()
        .filter_map(|entry| entry.platform.clone())
        .filter(|platform| platform.os != "unknown")
        .collect()
}

#[cfg(test)]
mod tests {
    use wharf_spec::{Digest, MediaType};

    use super::*;

    fn index(platforms: &[Option<Platform>]) -> Index {
        let entry = |platform: &Option<Platform>| Descriptor {
            platform: platform.clone(),
            ..Descriptor::new(MediaType::OCI_MANIFEST, Digest::sha256(format!("{platform:?}").as_bytes()), 1)
        };
        Index {
            schema_version: 2,
            media_type: None,
            artifact_type: None,
            manifests: platforms.iter().map(entry).collect(),
            subject: None,
            annotations: std::collections::BTreeMap::new(),
        }
    }

    fn variant(architecture: &str, variant: &str) -> Platform {
        Platform { variant: Some(variant.into()), ..Platform::linux(architecture) }
    }

    #[test]
    fn the_exact_platform_wins_over_one_that_would_do() {
        let both = index(&[Some(variant("arm64", "v8")), Some(Platform::linux("arm64"))]);
        let chosen = |wanted| choose_platform(&both, &wanted).and_then(|entry| entry.platform.clone());
        assert_eq!(chosen(Platform::linux("arm64")), Some(Platform::linux("arm64")));
        assert_eq!(chosen(variant("arm64", "v8")), Some(variant("arm64", "v8")));
        let one = index(&[Some(variant("arm64", "v8"))]);
        assert!(choose_platform(&one, &Platform::linux("arm64")).is_some());
        assert!(choose_platform(&one, &Platform::linux("amd64")).is_none());
    }

    #[test]
    fn an_only_entry_without_a_platform_is_taken() {
        assert!(choose_platform(&index(&[None]), &Platform::host()).is_some());
        assert!(choose_platform(&index(&[None, None]), &Platform::host()).is_none());
        assert!(choose_platform(&index(&[]), &Platform::host()).is_none());
    }
}
