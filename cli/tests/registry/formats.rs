//! Layouts and archives: out of a store and back, with the same digest.

use crate::support::fixture::{layer, layout, multi_platform};
use crate::support::server::Server;
use crate::support::{Desk, holds};

#[test]
fn every_format_gives_back_the_same_image() {
    let desk = Desk::new();
    let image = layout(&desk, "layout", &[layer("hello", b"hello\n"), layer("more", &vec![7; 70_000])]);
    desk.good(&["copy", "oci:layout:1", "team/app:1"]);
    for (number, place) in [
        "oci:out",
        "oci:tagged:v1",
        "oci-archive:a.tar",
        "oci-archive:b.tar:v1",
        "docker-archive:c.tar",
        "docker-archive:d.tar:team/app:1",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(desk.good(&["copy", "team/app:1", place]).trim_end(), image.digest, "to {place}");
        let back = format!("back/app:{number}");
        assert_eq!(desk.good(&["copy", place, &back]).trim_end(), image.digest, "from {place}");
        assert_eq!(desk.good(&["inspect", "--raw", &back]).as_bytes(), image.manifest);
    }
    assert!(!holds(&desk.path("store/build"), ".tar"), "nothing temporary stays");
}

#[test]
fn files_come_from_and_go_to_registries() {
    let desk = Desk::new();
    let image = layout(&desk, "layout", &[layer("hello", b"hello\n")]);
    let server = Server::start(&desk);
    let user = Desk::new();
    let name = server.name("team/app:1");
    let layout = format!("oci:{}", desk.text("layout"));
    assert_eq!(user.good(&["copy", &layout, &name]).trim_end(), image.digest);
    assert_eq!(user.good(&["copy", &name, "docker-archive:app.tar:app:1"]).trim_end(), image.digest);
    assert_eq!(user.good(&["copy", "docker-archive:app.tar", &server.name("team/app:2")]).trim_end(), image.digest);
    assert_eq!(desk.good(&["inspect", "--raw", "team/app:2"]).as_bytes(), image.manifest);
}

#[test]
fn a_docker_archive_names_its_image() {
    let desk = Desk::new();
    layout(&desk, "layout", &[layer("hello", b"hello\n")]);
    desk.good(&["copy", "oci:layout", "docker-archive:app.tar:team/app:1"]);
    let mut archive = tar::Archive::new(std::fs::File::open(desk.path("app.tar")).expect("a file"));
    let manifest = archive.entries().expect("a tar").map(|entry| entry.expect("an entry")).find_map(|entry| {
        let named = entry.path().is_ok_and(|path| path.as_os_str() == "manifest.json");
        named.then(|| serde_json::from_reader::<_, serde_json::Value>(entry).expect("JSON"))
    });
    assert_eq!(manifest.expect("manifest.json")[0]["RepoTags"][0], "team/app:1");
    let said = desk.bad(&["copy", "docker-archive:app.tar:team/app:2", "x:1"]);
    assert!(said.contains("has no image tagged 2") && said.contains("hint: it has: "), "{said}");
}

#[test]
fn several_images_share_a_layout() {
    let desk = Desk::new();
    let one = layout(&desk, "one", &[layer("hello", b"one\n")]);
    let (two, _) = multi_platform(&desk, "two");
    desk.good(&["copy", "oci:one", "oci:both:v1"]);
    desk.good(&["copy", "oci:two", "oci:both:v2"]);
    assert_eq!(desk.good(&["copy", "oci:both:v1", "app:1"]).trim_end(), one.digest);
    assert_eq!(desk.good(&["copy", "oci:both:v2", "app:2"]).trim_end(), two);
    let said = desk.bad(&["copy", "oci:both", "app:3"]);
    assert!(said.contains("several images: say which") && said.contains("it has: v1, v2"), "{said}");
}
