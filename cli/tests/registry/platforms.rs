//! Images for several platforms.

use serde_json::Value;

use crate::support::Desk;
use crate::support::fixture::multi_platform;
use crate::support::server::Server;

#[test]
fn an_index_travels_with_all_its_images() {
    let desk = Desk::new();
    let (index, images) = multi_platform(&desk, "layout");
    assert_eq!(desk.good(&["copy", "oci:layout", "team/app:1"]).trim_end(), index);
    let server = Server::start(&desk);
    let user = Desk::new();
    user.good(&["pull", &server.name("team/app:1"), "app:1"]);
    assert!(user.good(&["inspect", "--raw", "app:1"]).contains("image.index"));
    for (platform, image) in ["linux/amd64", "linux/arm64"].into_iter().zip(&images) {
        let child = format!("app@{}", image.digest);
        assert_eq!(user.good(&["inspect", "--raw", &child]).as_bytes(), image.manifest);
        let config: Value =
            serde_json::from_str(&user.good(&["inspect", "--image-config", "--platform", platform, "app:1"]))
                .expect("JSON");
        assert_eq!(config["rootfs"]["diff_ids"][0], image.layers[0].as_str());
    }
}

#[test]
fn one_platform_can_be_asked_for() {
    let desk = Desk::new();
    let (_, images) = multi_platform(&desk, "layout");
    desk.good(&["copy", "oci:layout", "team/app:1"]);
    let server = Server::start(&desk);
    let user = Desk::new();
    let pulled = user.good(&["pull", "--platform", "linux/arm64", &server.name("team/app:1"), "app:1"]);
    assert_eq!(pulled.trim_end(), format!("app@{}", images[1].digest));
    assert_eq!(user.good(&["inspect", "--raw", "app:1"]).as_bytes(), images[1].manifest);
    let said = user.bad(&["pull", "--platform", "linux/s390x", &server.name("team/app:1")]);
    assert!(said.contains("it has linux/amd64, linux/arm64"), "{said}");
}
