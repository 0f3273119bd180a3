//! Tags go back, never move, or go: in the store and at a registry.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Instant;

use serde_json::Value;

use crate::support::fixture::{layer, layout};
use crate::support::server::Server;
use crate::support::{Desk, PATIENCE};

/// A store whose tag `team/app:stable` was `one`, then `two`; the digests of both.
fn desk_with_versions() -> (Desk, [String; 2]) {
    let desk = Desk::new();
    let digests = ["one", "two"].map(|text| {
        let image = layout(&desk, text, &[layer(text, text.as_bytes())]);
        desk.good(&["copy", "-q", &format!("oci:{text}"), "team/app:stable"]);
        image.digest
    });
    (desk, digests)
}

fn history(desk: &Desk, name: &str) -> Value {
    serde_json::from_str(&desk.good(&["history", name, "--format", "json"])).expect("JSON")
}

fn hows(history: &Value) -> Vec<&str> {
    let entries = history["history"].as_array().expect("a list");
    entries.iter().map(|entry| entry["how"].as_str().expect("a word")).collect()
}

#[test]
fn a_tag_goes_back_in_the_store_and_at_a_registry() {
    let (here, [one, two]) = desk_with_versions();
    let server = Server::start(&here);
    let user = Desk::new();
    let remote = server.name("team/app:stable");
    for (place, name) in [(&here, "team/app:stable"), (&user, remote.as_str())] {
        let repository = name.trim_end_matches(":stable");
        let back = place.run(&["rollback", name]);
        assert_eq!((back.code, back.stdout.trim_end()), (Some(0), format!("{repository}@{one}").as_str()), "{back}");
        assert!(back.stderr.contains("which is version 1 again"), "{back}");
        let forth = place.good(&["rollback", "-q", name, "--to", &two]);
        assert_eq!(forth.trim_end(), format!("{repository}@{two}"));
        let said = place.run(&["rollback", name, "--to", "99"]);
        assert_eq!(said.code, Some(1));
        assert!(
            said.stderr.contains("there is no version 99") && said.stderr.contains("hint: `wharf history"),
            "{said}"
        );
    }
    let table = user.good(&["history", &remote]);
    let heads: Vec<_> = table.lines().next().expect("heads").split_whitespace().collect();
    assert_eq!(heads, ["VERSION", "DIGEST", "SINCE", "BY", "HOW"]);
    assert!(table.lines().nth(1).expect("a row").contains(&two) && table.contains("rollback of 2"), "{table}");
    assert_eq!(table.lines().count(), 7, "{table}");
    let told = history(&user, &remote);
    assert_eq!(told, history(&here, "team/app:stable"), "the store is what is served");
    assert_eq!(hows(&told), ["rollback", "rollback", "rollback", "rollback", "push", "push"]);
}

#[test]
fn a_deleted_tag_comes_back() {
    let (here, [_, two]) = desk_with_versions();
    let server = Server::start(&here);
    let user = Desk::new();
    let remote = server.name("team/app:stable");
    user.good(&["rm", &remote]);
    assert!(user.bad(&["pull", &remote]).contains("has no manifest stable"));
    assert!(user.good(&["rollback", &remote]).contains(&two));
    user.good(&["pull", &remote]);
    assert_eq!(hows(&history(&user, &remote))[..2], ["rollback", "delete"]);
}

#[test]
fn what_has_no_versions_is_said() {
    let (desk, [one, _]) = desk_with_versions();
    let said = desk.bad(&["history", "team/none"]);
    assert!(said.starts_with("error: could not read the history of team/none"), "{said}");
    let by_digest = desk.run(&["rollback", &format!("team/app@{one}")]);
    assert_eq!(by_digest.code, Some(125), "{by_digest}");
    assert_eq!(desk.run(&["rollback", "team/app:stable", "--to", "yesterday"]).code, Some(125));
    desk.good(&["rm", &format!("team/app@{one}")]);
    let said = desk.bad(&["rollback", "team/app:stable", "--to", "1"]);
    assert!(said.contains("the manifest of version 1 was deleted"), "{said}");
    let server = Server::start(&desk);
    let said = Desk::new().bad(&["history", &server.name("team/none:1")]);
    assert!(said.contains("does not know it") && !said.contains("no Wharf registry"), "{said}");
}

/// Answers everything as a registry that has never heard of `/api/v1/`.
#[test]
fn a_registry_that_is_not_wharf_is_named_so() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                match stream.read(&mut byte) {
                    Ok(1) => head.push(byte[0]),
                    Ok(_) | Err(_) => break,
                }
            }
            let body = "404 page not found\n";
            let status = if head.starts_with(b"GET /v2/ ") { "200 OK" } else { "404 Not Found" };
            let answer =
                format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let name = format!("{address}/team/app:1");
    for command in ["history", "rollback"] {
        let said = Desk::new().bad(&[command, &name]);
        assert!(said.contains("is no Wharf registry, so it keeps no versions of tags"), "{said}");
    }
}

#[test]
fn an_immutable_tag_refuses_to_move() {
    let (here, [_, two]) = desk_with_versions();
    here.write("config.toml", "[[rule]]\nrepositories = [\"team/*\"]\ntags = [\"st*\"]\nimmutable = true\n");
    let server = Server::start(&here);
    let user = Desk::new();
    layout(&user, "three", &[layer("three", b"three")]);
    let remote = server.name("team/app:stable");
    for command in [vec!["copy", "oci:three", &remote], vec!["rollback", &remote], vec!["rm", &remote]] {
        let said = user.bad(&command);
        assert!(said.contains("tag stable of team/app is immutable"), "{said}");
    }
    assert!(here.bad(&["rollback", "team/app:stable"]).contains("is immutable"));
    user.good(&["copy", "oci:three", &server.name("team/app:next")]);
    assert_eq!(history(&here, "team/app:stable")["current"]["digest"], two.as_str());
}

#[test]
fn prune_says_and_does_what_the_rules_say() {
    let (desk, [one, two]) = desk_with_versions();
    let said = desk.bad(&["prune"]);
    assert!(said.contains("the configuration has no rule about what to delete"), "{said}");
    desk.write("config.toml", "[[rule]]\nkeep-last = 1\n[[rule]]\ndelete-untagged = \"0s\"\n");
    desk.good(&["tag", "team/app:stable", "team/app:zzz"]);
    let dry = desk.good(&["prune", "--dry-run"]);
    assert!(dry.starts_with("would delete tag team/app:stable"), "{dry}");
    assert!(dry.contains("not among the newest 1 (rule 1)") && dry.lines().count() == 1, "{dry}");
    assert_eq!(desk.good(&["prune"]), dry.replace("would delete", "deleted"));
    assert_eq!(desk.good(&["images", "-q", "team/app"]), format!("{two}\n"));
    let told = history(&desk, "team/app:stable");
    assert_eq!((hows(&told)[0], &told["history"][0]["by"]), ("retention", &Value::from("retention")));
    assert!(desk.good(&["rollback", "team/app:stable", "--to", &one]).contains(&one), "its history keeps its images");
}

#[test]
fn a_server_applies_the_rules_by_itself() {
    let (desk, [_, two]) = desk_with_versions();
    desk.good(&["tag", "team/app:stable", "team/app:zzz"]);
    desk.write("config.toml", "[serve]\nretention-interval = 1\n[[rule]]\ntags = [\"**\"]\nkeep-last = 1\n");
    let server = Server::start(&desk);
    let end = Instant::now() + PATIENCE;
    while desk.good(&["images", "-q", "team/app"]).lines().count() > 1 {
        assert!(Instant::now() < end, "nothing goes");
    }
    let user = Desk::new();
    assert!(user.good(&["inspect", &server.name("team/app:zzz")]).contains(&two));
    assert_eq!(hows(&history(&user, &server.name("team/app:stable")))[0], "retention");
}
