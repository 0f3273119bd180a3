use super::super::{Error, How};
use super::*;

#[tokio::test]
async fn every_change_is_a_version_and_the_same_push_again_is_none() {
    let (repositories, name) = (repositories(), name("app"));
    let (one, two) = (image(&repositories, &name, "one").await, image(&repositories, &name, "two").await);
    for image in [&one, &one, &two] {
        repositories.put_manifest(&name, image, &[tag("v1")], "ann").await.unwrap();
    }
    repositories.delete_tag(&name, &tag("v1"), "ben").await.unwrap();
    let record = repositories.tag(&name, &tag("v1")).await.unwrap().unwrap();
    assert_eq!((record.version, &record.current), (3, &None));
    let history: Vec<_> = record
        .history
        .iter()
        .map(|entry| (entry.version, entry.how, entry.by.as_str(), entry.descriptor.as_ref().map(|to| to.digest)))
        .collect();
    assert_eq!(
        history,
        [
            (3, How::Delete, "ben", None),
            (2, How::Push, "ann", Some(two.digest())),
            (1, How::Push, "ann", Some(one.digest()))
        ]
    );
    assert!(matches!(repositories.delete_tag(&name, &tag("v1"), "ben").await, Err(Error::UnknownManifest { .. })));
    repositories.manifest(&name, &two.digest()).await.expect("deleting a tag leaves its manifest");
}

#[tokio::test]
async fn history_is_bounded() {
    let (repositories, name) = (repositories(), name("app"));
    let images = [image(&repositories, &name, "one").await, image(&repositories, &name, "two").await];
    for image in images.iter().cycle().take(105) {
        repositories.put_manifest(&name, image, &[tag("v1")], "ann").await.unwrap();
    }
    let record = repositories.tag(&name, &tag("v1")).await.unwrap().unwrap();
    assert_eq!((record.version, record.history.len()), (105, 100));
    assert_eq!(record.history.last().unwrap().version, 6);
}

#[tokio::test]
async fn tags_are_listed_in_order_page_by_page_without_the_deleted_ones() {
    let (repositories, name) = (repositories(), name("app"));
    let image = image(&repositories, &name, "layer").await;
    let all: Vec<_> = ["B", "a", "b", "b-1", "c", "d"].map(tag).into();
    repositories.put_manifest(&name, &image, &all, "ann").await.unwrap();
    for gone in ["a", "b-1"] {
        repositories.delete_tag(&name, &tag(gone), "ann").await.unwrap();
    }
    let page = |last: Option<&'static str>, limit| {
        let (repositories, name) = (repositories.clone(), name.clone());
        async move {
            let found = repositories.tags(&name, last, limit).await.unwrap();
            found.into_iter().map(|(tag, _)| tag.to_string()).collect::<Vec<_>>()
        }
    };
    assert_eq!(page(None, 10).await, ["B", "b", "c", "d"]);
    assert_eq!(page(None, 2).await, ["B", "b"]);
    assert_eq!(page(Some("b"), 2).await, ["c", "d"]);
    assert_eq!(page(Some("b-5"), 1).await, ["c"], "`last` need not exist");
    assert_eq!(page(Some("d"), 2).await, Vec::<String>::new());
    assert_eq!(page(None, 0).await, Vec::<String>::new());
}
