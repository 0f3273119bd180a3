//! Push, pull, copy, tag, list, inspect and remove, between stores and registries.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::Desk;
use crate::support::fixture::{Image, layer, layout};
use crate::support::server::Server;

/// A desk whose store has the image `team/app:1`, made of these layers.
fn desk_with(layers: &[Vec<u8>]) -> (Desk, Image) {
    let desk = Desk::new();
    let image = layout(&desk, "layout", layers);
    let printed = desk.good(&["copy", "oci:layout", "team/app:1"]);
    assert_eq!(printed.trim_end(), image.digest);
    (desk, image)
}

fn hello() -> (Desk, Image) {
    desk_with(&[layer("hello", b"hello\n")])
}

/// The lines of `--progress=json`.
fn events(desk: &Desk, arguments: &[&str]) -> Vec<Value> {
    let mut all = vec!["--progress=json"];
    all.extend(arguments);
    let finished = desk.run(&all);
    assert_eq!(finished.code, Some(0), "{finished}");
    finished.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// How many blobs of each kind ended how: `("layer", "DONE") -> 2`.
fn ends(events: &[Value]) -> BTreeMap<(String, String), usize> {
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let is = |event: &&Value, what: &str| event["event"] == what;
    let kinds: BTreeMap<u64, String> = events
        .iter()
        .filter(|event| is(event, "started"))
        .map(|event| {
            let kind = text(event, "label").split(' ').nth(1).unwrap_or_default().to_owned();
            (event["task"].as_u64().expect("a number"), kind)
        })
        .collect();
    let mut ends = BTreeMap::new();
    for event in events.iter().filter(|event| is(event, "done")) {
        let kind = kinds[&event["task"].as_u64().expect("a number")].clone();
        *ends.entry((kind, text(event, "how"))).or_default() += 1;
    }
    ends
}

fn images(desk: &Desk) -> Vec<Value> {
    let listed: Value = serde_json::from_str(&desk.good(&["images", "--json"])).expect("JSON");
    listed.as_array().expect("a list").clone()
}

fn counted<const N: usize>(ends: [(&str, &str, usize); N]) -> BTreeMap<(String, String), usize> {
    ends.map(|(kind, how, count)| ((kind.to_owned(), how.to_owned()), count)).into()
}

#[test]
fn an_image_travels_and_stays_the_same() {
    let (here, image) = hello();
    let there = Desk::new();
    let (from, to) = (Server::start(&here), Server::start(&there));
    let (source, copied) = (from.name("team/app:1"), to.name("mirror/app:2"));
    assert_eq!(here.good(&["copy", &source, &copied]).trim_end(), image.digest);

    let user = Desk::new();
    let by_digest = format!("{}@{}", to.name("mirror/app"), image.digest);
    assert_eq!(user.good(&["pull", &copied]).trim_end(), by_digest);
    assert_eq!(user.good(&["pull", &by_digest, "kept:3"]).trim_end(), format!("kept@{}", image.digest));
    assert_eq!(user.good(&["inspect", "--raw", &copied]).as_bytes(), image.manifest);
    assert_eq!(user.good(&["inspect", "--raw", "kept:3"]).as_bytes(), image.manifest);

    // What was pulled can be pushed on.
    let pushed = user.good(&["push", "kept:3", &from.name("again/app:3")]);
    assert_eq!(pushed.trim_end(), format!("{}@{}", from.name("again/app"), image.digest));
    assert_eq!(here.good(&["inspect", "--raw", "again/app:3"]).as_bytes(), image.manifest);
}

#[test]
fn a_second_push_sends_nothing() {
    let (here, _) = desk_with(&[layer("a", b"one"), layer("b", b"two")]);
    let there = Desk::new();
    let server = Server::start(&there);
    let push = ["push", "team/app:1", &server.name("team/app:1")];
    let first = ends(&events(&here, &push));
    assert_eq!(first, counted([("config", "DONE", 1), ("layer", "DONE", 2), ("manifest", "DONE", 1)]));
    let second = events(&here, &push);
    assert!(second.iter().all(|event| event["event"] != "bytes"), "{second:?}");
    // The manifest is there as well; it goes once more to move the tag.
    assert_eq!(ends(&second), counted([("manifest", "EXISTS", 1), ("manifest", "DONE", 1)]));
}

/// `docs/output.md` is what programs that read these lines are written from.
#[test]
fn events_are_as_the_page_says() {
    let page = include_str!("../../../docs/output.md");
    let (here, _) = hello();
    let there = Desk::new();
    let server = Server::start(&there);
    let mut seen = BTreeMap::new();
    for event in events(&here, &["push", "team/app:1", &server.name("team/app:1")]) {
        let name = event["event"].as_str().expect("a name").to_owned();
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{name} is not documented"));
        for field in
            event.as_object().expect("an object").keys().filter(|field| !["event", "task"].contains(&field.as_str()))
        {
            assert!(row.contains(&format!("`{field}`")), "{name}.{field} is not documented");
        }
        *seen.entry(name).or_insert(0) += 1;
    }
    assert!(seen.len() >= 2, "{seen:?}");
}

#[test]
fn only_what_is_new_is_sent() {
    let (here, _) = desk_with(&[layer("a", b"one")]);
    layout(&here, "longer", &[layer("a", b"one"), layer("b", b"two")]);
    here.good(&["copy", "oci:longer", "team/app:2"]);
    let there = Desk::new();
    let server = Server::start(&there);
    here.good(&["push", "team/app:1", &server.name("team/app:1")]);
    let ends = ends(&events(&here, &["push", "team/app:2", &server.name("team/app:2")]));
    let expected = [("config", "DONE", 1), ("layer", "DONE", 1), ("layer", "EXISTS", 1), ("manifest", "DONE", 1)];
    assert_eq!(ends, counted(expected));
}

#[test]
fn within_a_registry_blobs_are_mounted() {
    let (here, image) = hello();
    let server = Server::start(&here);
    let (one, other) = (server.name("team/app:1"), server.name("other/app:1"));
    let ends = ends(&events(&here, &["copy", &one, &other]));
    let expected = [("config", "MOUNTED", 1), ("layer", "MOUNTED", 1), ("manifest", "DONE", 1)];
    assert_eq!(ends, counted(expected));
    assert_eq!(here.good(&["inspect", "--raw", "other/app:1"]).as_bytes(), image.manifest);
}

#[test]
fn the_store_is_what_is_served() {
    let (here, image) = hello();
    let server = Server::start(&here);
    // Another process writes to the store while it is served.
    here.good(&["tag", "team/app:1", "team/app:stable"]);
    let user = Desk::new();
    let pulled = user.good(&["pull", &server.name("team/app:stable"), "app"]);
    assert_eq!(pulled.trim_end(), format!("app@{}", image.digest));
    here.good(&["rm", "team/app:stable"]);
    let said = user.bad(&["pull", &server.name("team/app:stable")]);
    assert!(said.contains("has no manifest stable"), "{said}");
}

#[test]
fn images_are_listed() {
    let (desk, image) = hello();
    desk.good(&["tag", "team/app:1", "team/app:2"]);
    desk.good(&["tag", "team/app:1", "registry.example:5000/team/app"]);
    let listed = images(&desk);
    let names: Vec<_> =
        listed.iter().map(|row| format!("{}:{}", row["repository"], row["tag"]).replace('"', "")).collect();
    assert_eq!(names, ["registry.example:5000/team/app:latest", "team/app:1", "team/app:2"]);
    for row in &listed {
        assert_eq!(row["digest"], image.digest.as_str());
        assert_eq!(row["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        assert!(row["pushedAt"].as_u64() > Some(1_700_000_000) && row["size"].as_u64() > Some(1000), "{row}");
    }
    let table = desk.good(&["images", "team/app"]);
    let heads: Vec<_> = table.lines().next().expect("heads").split_whitespace().collect();
    assert_eq!(heads, ["REPOSITORY", "TAG", "DIGEST", "PUSHED", "SIZE"]);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert_eq!(desk.good(&["images", "-q", "team/app"]), format!("{0}\n{0}\n", image.digest));
    assert_eq!(desk.good(&["images", "nobody/app", "--json"]), "[]\n");
}

#[test]
fn inspect_tells_what_an_image_is() {
    let (desk, image) = hello();
    let server = Server::start(&desk);
    let user = Desk::new();
    for (place, name) in [(&desk, "team/app:1".to_owned()), (&user, server.name("team/app:1"))] {
        let shown: Value = serde_json::from_str(&place.good(&["inspect", &name])).expect("JSON");
        assert_eq!(shown["reference"], name.as_str());
        assert_eq!(shown["digest"], image.digest.as_str());
        assert_eq!(shown["manifest"]["config"]["digest"], image.config.as_str());
        assert_eq!(shown["config"]["config"]["Labels"]["of"], "a test");
        let config: Value = serde_json::from_str(&place.good(&["inspect", "--image-config", &name])).expect("JSON");
        assert_eq!(config, shown["config"]);
        assert_eq!(place.good(&["inspect", "--raw", &name]).as_bytes(), image.manifest);
    }
    assert!(images(&user).is_empty(), "looking at an image must not keep it");
}

#[test]
fn images_are_removed() {
    let (desk, image) = hello();
    desk.good(&["tag", "team/app:1", "team/app:2"]);
    assert_eq!(desk.good(&["rm", "team/app:2"]), "removed team/app:2\n");
    assert_eq!(images(&desk).len(), 1);
    let by_digest = format!("team/app@{}", image.digest);
    desk.good(&["rm", &by_digest]);
    assert!(images(&desk).is_empty());
    assert!(desk.bad(&["inspect", &by_digest]).contains("is not in the store"));
}

#[test]
fn images_are_removed_at_a_registry() {
    let (desk, _) = hello();
    let user = Desk::new();
    let server = Server::start(&desk);
    let name = server.name("team/app:1");
    assert_eq!(user.good(&["rm", &name]), format!("removed {name}\n"));
    assert!(images(&desk).is_empty());
}

#[test]
fn a_registry_can_refuse_to_delete() {
    let (desk, _) = hello();
    desk.write("config.toml", "[serve]\ndelete = false\n");
    let server = Server::start(&desk);
    let said = Desk::new().bad(&["rm", &server.name("team/app:1")]);
    assert!(said.starts_with("error: could not remove "), "{said}");
    assert_eq!(images(&desk).len(), 1);
}

#[test]
fn how_large_a_manifest_may_be_can_be_set() {
    let (desk, image) = hello();
    let length = image.manifest.len();
    for (limit, code) in [(length, 0), (length - 1, 1)] {
        let there = Desk::new();
        there.write("config.toml", format!("[serve]\nmax-manifest-size = {limit}\n"));
        let server = Server::start(&there);
        let finished = desk.run(&["push", "team/app:1", &server.name("team/app:1")]);
        assert_eq!(finished.code, Some(code), "{limit}: {finished}");
        assert_eq!(finished.stderr.contains("max-manifest-size"), code == 1, "{finished}");
    }
}

#[test]
fn quiet_commands_print_their_result_only() {
    let (desk, image) = hello();
    let there = Desk::new();
    let server = Server::start(&there);
    let finished = desk.run(&["push", "-q", "team/app:1", &server.name("team/app:1")]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished}");
    assert_eq!(finished.stdout, format!("{}@{}\n", server.name("team/app"), image.digest));
}
