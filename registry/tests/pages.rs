//! Long lists, followed as clients do: from one `Link` to the next, until there is none. Nothing is left out, nothing comes twice.

mod wire;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wharf_spec::{Digest, MediaType};
use wire::{Client, Server, Setup};

/// Every page from this path on.
async fn pages(client: &mut Client, path: &str) -> Vec<(wire::Head, Value)> {
    let (mut pages, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        assert!(pages.len() < 100, "the pages do not end");
        let (head, body) = client.call(&format!("GET {path} HTTP/1.1"), b"").await;
        assert_eq!(head.status, 200, "{path}");
        // Relative, so that no port and no scheme of a proxy is lost.
        next = head.get("link").map(|link| {
            let path = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\""));
            path.filter(|path| path.starts_with('/')).unwrap_or_else(|| panic!("{link}")).to_owned()
        });
        pages.push((head, serde_json::from_slice(&body).unwrap()));
    }
    pages
}

/// The texts at a place in all entries of all pages.
fn entries(pages: &[(wire::Head, Value)], list: &str, field: Option<&str>) -> Vec<String> {
    let entries = pages.iter().flat_map(|(_, page)| page[list].as_array().unwrap());
    let text = |entry: &Value| field.map_or(entry, |field| &entry[field]).as_str().unwrap().to_owned();
    entries.map(text).collect()
}

async fn put_blob(client: &mut Client, name: &str, bytes: &[u8]) -> Digest {
    let digest = Digest::sha256(bytes);
    let (head, _) = client.call(&format!("POST /v2/{name}/blobs/uploads/?digest={digest} HTTP/1.1"), bytes).await;
    assert_eq!(head.status, 201);
    digest
}

async fn put_manifest(client: &mut Client, reference: &str, manifest: &Value) -> String {
    let bytes = serde_json::to_vec(manifest).unwrap();
    let digest = Digest::sha256(&bytes).to_string();
    let reference = if reference.is_empty() { &digest } else { reference };
    let head = format!("PUT /v2/app/manifests/{reference} HTTP/1.1\r\nContent-Type: {}", MediaType::OCI_MANIFEST);
    assert_eq!(client.call(&head, &bytes).await.0.status, 201);
    digest
}

#[tokio::test]
async fn referrers_come_page_by_page_with_and_without_a_filter() {
    let server = Server::start(Setup::default()).await;
    let client = &mut server.connect().await;
    let empty = put_blob(client, "app", b"{}").await;
    let config = json!({"mediaType": MediaType::OCI_EMPTY, "digest": empty, "size": 2});
    let image = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": []});
    let subject = put_manifest(client, "v1", &image).await;
    let size = serde_json::to_vec(&image).unwrap().len();
    // Long annotations end a page before the number of entries does; one that is nearly as long as a manifest may be is alone.
    let long = |number| "x".repeat(if number % 4 == 1 { 3600 << 10 } else { 600 << 10 });
    let (mut all, mut sboms) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..12 {
        let kind = if number % 3 == 0 { "application/spdx+json" } else { "application/vnd.example.other" };
        let referrer = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "artifactType": kind, "config": config, "layers": [],
            "subject": {"mediaType": MediaType::OCI_MANIFEST, "digest": subject, "size": size},
            "annotations": {"number": number.to_string(), "long": long(number)},
        });
        let digest = put_manifest(client, "", &referrer).await;
        all.insert(digest.clone());
        if number % 3 == 0 {
            sboms.insert(digest);
        }
    }
    let path = format!("/v2/app/referrers/{subject}");
    let found = pages(client, &path).await;
    assert!(found.len() > 2, "{}", found.len());
    let listed = entries(&found, "manifests", Some("digest"));
    assert_eq!((listed.len(), listed.into_iter().collect::<BTreeSet<_>>()), (all.len(), all));
    for (head, page) in &found {
        assert_eq!(head.get("content-type"), Some(MediaType::OCI_INDEX));
        assert_eq!(head.get("oci-filters-applied"), None);
        assert!(page.to_string().len() < 4 << 20, "clients take 4 MiB");
    }

    for written in ["application%2Fspdx%2Bjson", "application/spdx+json"] {
        let found = pages(client, &format!("{path}?artifactType={written}")).await;
        assert!(found.len() > 1, "the filter goes along from page to page");
        let listed = entries(&found, "manifests", Some("digest"));
        assert_eq!((listed.len(), listed.into_iter().collect()), (sboms.len(), sboms.clone()), "{written}");
        assert!(found.iter().all(|(head, _)| head.get("oci-filters-applied") == Some("artifactType")));
    }
}

#[tokio::test]
async fn tags_and_repositories_come_page_by_page() {
    let server = Server::start(Setup::default()).await;
    let client = &mut server.connect().await;
    let empty = put_blob(client, "app", b"{}").await;
    let config = json!({"mediaType": MediaType::OCI_EMPTY, "digest": empty, "size": 2});
    let image = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": []});
    // Names with everything that a query would read as something else.
    let mut tags: Vec<_> = (0..23).map(|number| format!("v1.{number}_a-b")).collect();
    for tag in &tags {
        put_manifest(client, tag, &image).await;
    }
    tags.sort();
    let mut names = vec!["app".to_owned()];
    for number in 0..12 {
        let name = format!("team/sub-{number}/a__b.c");
        put_blob(client, &name, b"{}").await;
        names.push(name);
    }
    names.sort();
    for size in [1, 5, 23, 24] {
        let found = pages(client, &format!("/v2/app/tags/list?n={size}")).await;
        assert_eq!(found.len(), tags.len().div_ceil(size), "{size}");
        assert_eq!(entries(&found, "tags", None), tags, "{size}");
        let found = pages(client, &format!("/v2/_catalog?n={size}")).await;
        assert_eq!(found.len(), names.len().div_ceil(size), "{size}");
        assert_eq!(entries(&found, "repositories", None), names, "{size}");
    }
}
