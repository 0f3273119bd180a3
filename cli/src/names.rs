//! Names of images: where a reference's image lies in the store, and how the store's names are shown.
//!
//! A reference without a host names an image in the store. An image that belongs to a registry is kept in the store
//! under its host as first component, `registry.example:5000/team/app` in `registry.example_5000/team/app`: always a
//! legal repository name, and served like any other.

use wharf_spec::{Reference, RegistryHost, RepositoryName};

/// The repository of the store that holds the image of `reference`. `None` when its host cannot be part of a name.
pub fn store_name(reference: &Reference) -> Option<RepositoryName> {
    match &reference.host {
        None => Some(reference.repository.clone()),
        Some(host) => {
            let host = host.as_str().to_ascii_lowercase().replace(['[', ']'], "").replace(':', "_");
            format!("{host}/{}", reference.repository).parse().ok()
        }
    }
}

/// The references under which the image of `reference` may lie in the store, best first: as it is written, then, for a
/// short name, as Docker reads it (`debian` is `docker.io/library/debian`).
pub fn candidates(reference: &Reference) -> Vec<Reference> {
    let normal = reference.normalize_docker();
    if normal == *reference { vec![normal] } else { vec![reference.clone(), normal] }
}

/// How a repository of the store is written in a reference: the inverse of [`store_name`].
pub fn shown(name: &RepositoryName) -> String {
    let Some((first, rest)) = name.as_str().split_once('/') else { return name.to_string() };
    let (host, port) = match first.rsplit_once('_') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, Some(port)),
        Some(_) | None => (first, None),
    };
    let looks_like_host = host.contains('.') || host == "localhost";
    match port {
        _ if !looks_like_host || host.parse::<RegistryHost>().is_err() => name.to_string(),
        Some(port) => format!("{host}:{port}/{rest}"),
        None => format!("{host}/{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_images_have_a_place_in_the_store() {
        for (reference, name) in [
            ("team/app:1", "team/app"),
            ("registry.example/team/app", "registry.example/team/app"),
            ("127.0.0.1:5000/app:1", "127.0.0.1_5000/app"),
            ("localhost:5000/app", "localhost_5000/app"),
            ("docker.io/library/debian:12", "docker.io/library/debian"),
        ] {
            let reference: Reference = reference.parse().unwrap();
            let stored = store_name(&reference).unwrap();
            assert_eq!(stored.as_str(), name);
            let back: Reference = shown(&stored).parse().unwrap();
            assert_eq!((back.host, back.repository), (reference.host, reference.repository));
        }
    }

    #[test]
    fn short_names_are_looked_up_in_both_forms() {
        let names = |text: &str| -> Vec<String> {
            candidates(&text.parse().unwrap()).iter().map(ToString::to_string).collect()
        };
        assert_eq!(names("debian:12"), ["debian:12", "docker.io/library/debian:12"]);
        assert_eq!(names("h.example/a"), ["h.example/a"]);
    }
}
