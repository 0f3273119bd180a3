//! Upload locations: wherever the registry says, with whatever it put into them (distribution-spec, "Pushing blobs").

use http::header::LOCATION;
use reqwest::{Response, Url};
use wharf_spec::Digest;

use super::Error;
use super::answer::Context;

/// The `Location` of an answer, absolute.
pub(super) fn location(context: Context<'_>, answer: &Response) -> Result<Url, Error> {
    let text = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let url = text.and_then(|text| resolve(answer.url(), text));
    url.ok_or_else(|| context.nonsense("it did not say where the upload goes"))
}

fn resolve(asked: &Url, text: &str) -> Option<Url> {
    let mut url = asked.join(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    // Registries behind a TLS proxy often do not know that they are.
    if asked.scheme() == "https" && url.scheme() == "http" && url.host_str() == asked.host_str() {
        let port = url.port().filter(|port| *port != 80).or(asked.port());
        url.set_scheme("https").ok()?;
        url.set_port(port).ok()?;
    }
    Some(url)
}

/// The location with the digest that ends the upload; what the registry put into it stays as it is.
pub(super) fn with_digest(location: &Url, digest: &Digest) -> Url {
    let mut url = location.clone();
    url.query_pairs_mut().append_pair("digest", &digest.to_string());
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_relative_or_absolute_and_keep_their_query() {
        let asked: Url = "https://h.example/v2/a/blobs/uploads/".parse().unwrap();
        for (text, expected) in [
            ("/v2/a/blobs/uploads/1?_state=x%2By%3D", "https://h.example/v2/a/blobs/uploads/1?_state=x%2By%3D"),
            ("1", "https://h.example/v2/a/blobs/uploads/1"),
            ("https://store.example:8443/u?sig=1", "https://store.example:8443/u?sig=1"),
            ("http://h.example/v2/u", "https://h.example/v2/u"),
            ("http://other.example/v2/u", "http://other.example/v2/u"),
        ] {
            assert_eq!(resolve(&asked, text).unwrap().as_str(), expected);
        }
        assert_eq!(resolve(&asked, "ftp://x.example/"), None);
        let digest = Digest::sha256(b"");
        let url = resolve(&asked, "/u?_state=x%2By").unwrap();
        let ended = with_digest(&url, &digest).to_string();
        assert_eq!(ended, format!("https://h.example/u?_state=x%2By&digest=sha256%3A{}", digest.hex()));
    }
}
