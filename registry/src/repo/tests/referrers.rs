use super::*;

fn about(subject: &RawManifest, artifact_type: &str, config: Descriptor, note: &str) -> RawManifest {
    RawManifest::from_manifest(Manifest {
        artifact_type: Some(MediaType::new(artifact_type)),
        subject: Some(subject.descriptor()),
        annotations: [("note".to_owned(), note.to_owned())].into(),
        ..manifest(config, Vec::new())
    })
}

#[tokio::test]
async fn manifests_about_another_are_listed_with_type_and_annotations() {
    let (repositories, name) = (repositories(), name("app"));
    let image = image(&repositories, &name, "layer").await;
    let config = upload(&repositories, &name, "{}").await;
    let none = repositories.referrers(&name, &image.digest(), None, None).await.unwrap();
    assert_eq!((none.referrers, none.next), (Vec::new(), None));
    // The subject need not be there.
    let (sbom, signature) = (about(&image, "a/sbom", config.clone(), "1"), about(&image, "a/signature", config, "2"));
    for referrer in [&sbom, &signature] {
        repositories.put_manifest(&name, referrer, &[], "ann").await.unwrap();
    }
    let all = repositories.referrers(&name, &image.digest(), None, None).await.unwrap().referrers;
    let mut digests = vec![sbom.digest(), signature.digest()];
    digests.sort();
    assert_eq!(all.iter().map(|referrer| referrer.digest).collect::<Vec<_>>(), digests);
    let wanted = MediaType::new("a/sbom");
    let found = repositories.referrers(&name, &image.digest(), Some(&wanted), None).await.unwrap().referrers;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].digest, &found[0].artifact_type), (sbom.digest(), &Some(wanted)));
    assert_eq!(found[0].annotations.get("note").map(String::as_str), Some("1"));
    assert_eq!(found[0].size, sbom.bytes().len() as u64);

    repositories.delete_manifest(&name, &sbom.digest(), "ann").await.unwrap();
    let left = repositories.referrers(&name, &image.digest(), None, None).await.unwrap().referrers;
    assert_eq!(left.iter().map(|referrer| referrer.digest).collect::<Vec<_>>(), [signature.digest()]);
}

#[tokio::test]
async fn what_older_clients_recorded_under_the_fallback_tag_is_listed_once() {
    let (repositories, name) = (repositories(), name("app"));
    let image = image(&repositories, &name, "layer").await;
    let config = upload(&repositories, &name, "{}").await;
    let known = about(&image, "a/known", config.clone(), "1");
    repositories.put_manifest(&name, &known, &[], "ann").await.unwrap();
    let old = about(&image, "a/old", config, "2");
    // As it stood in a registry that did not know subjects, and was copied from there.
    let key = super::super::keys::referrer(&name, &image.digest(), &old.digest());
    repositories.put_manifest(&name, &old, &[], "ann").await.unwrap();
    let record = repositories.store().records.get(&key).await.unwrap().unwrap();
    let forget = Write {
        key,
        expect: wharf_blobstore::Expect::Version(record.version),
        change: wharf_blobstore::Change::Delete,
    };
    repositories.store().records.write(vec![forget]).await.unwrap();
    let described = Descriptor { artifact_type: Some(MediaType::new("a/old")), ..old.descriptor() };
    let list = index(vec![known.descriptor(), described]);
    let fallback = tag(&format!("sha256-{}", image.digest().hex()));
    repositories.put_manifest(&name, &list, &[fallback], "ann").await.unwrap();

    let mut found: Vec<_> = repositories
        .referrers(&name, &image.digest(), None, None)
        .await
        .unwrap()
        .referrers
        .into_iter()
        .map(|referrer| referrer.artifact_type.unwrap().to_string())
        .collect();
    found.sort();
    assert_eq!(found, ["a/known", "a/old"]);
}

#[tokio::test]
async fn long_lists_come_in_pages_that_are_bounded_in_bytes_too() {
    let (repositories, name) = (repositories(), name("app"));
    let image = image(&repositories, &name, "layer").await;
    let config = upload(&repositories, &name, "{}").await;
    let long = "x".repeat(1 << 20);
    let mut expected = Vec::new();
    for number in 0..120 {
        // A few long ones: a page ends when it is big.
        let note = if number % 40 == 0 { format!("{number}{long}") } else { number.to_string() };
        let referrer = about(&image, "a/b", config.clone(), &note);
        repositories.put_manifest(&name, &referrer, &[], "ann").await.unwrap();
        expected.push(referrer.digest());
    }
    expected.sort();
    let (mut found, mut last, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = repositories.referrers(&name, &image.digest(), None, last.as_ref()).await.unwrap();
        found.extend(page.referrers.iter().map(|referrer| referrer.digest));
        pages += 1;
        last = page.next;
        if last.is_none() {
            break;
        }
    }
    assert_eq!(found, expected);
    assert!(pages > 1);
}
