//! Logins: an htpasswd file on one side, Docker's `config.json` on the other.

use crate::support::Desk;
use crate::support::fixture::{layer, layout};
use crate::support::server::Server;

const PASSWORD: &str = "correct horse: battery";

/// A registry's desk with a user `ann`, and a user's with the image `team/app:1`.
fn desks() -> (Desk, Desk) {
    let (registry, user) = (Desk::new(), Desk::new());
    // The least cost bcrypt has: the tests wait for it.
    let hash = bcrypt::hash(PASSWORD, 4).expect("bcrypt");
    registry.write("users", format!("# users\nann:{hash}\n"));
    layout(&user, "layout", &[layer("hello", b"hello\n")]);
    user.good(&["copy", "oci:layout", "team/app:1"]);
    (registry, user)
}

fn login(user: &Desk, server: &Server, name: &str, password: &str) -> (Option<i32>, String) {
    let command = user.command(&["login", "-u", name, "--password-stdin", &server.address.to_string()]);
    let finished = user.run_with(command, &format!("{password}\n"));
    assert!(!finished.stdout.contains(password) && !finished.stderr.contains(password), "{finished}");
    (finished.code, finished.stderr)
}

#[test]
fn a_login_opens_a_registry_and_a_logout_closes_it() {
    let (registry, user) = desks();
    let server = Server::start_with(&registry, &["--htpasswd", "users"]);
    let (name, address) = (server.name("team/app:1"), server.address.to_string());
    let said = user.bad(&["push", "team/app:1", &name]);
    assert!(said.contains("requires a login"), "{said}");
    assert!(said.contains(&format!("hint: log in with `wharf login {address}`")), "{said}");
    assert!(user.bad(&["pull", &name]).contains("requires a login"));

    let (code, said) = login(&user, &server, "ann", "wrong");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("did not accept the login"), "{said}");
    assert!(!user.path("docker/config.json").exists(), "a login that failed must not be kept");

    let (code, said) = login(&user, &server, "ann", PASSWORD);
    assert_eq!(code, Some(0), "{said}");
    let kept = std::fs::metadata(user.path("docker/config.json")).expect("kept");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&kept.permissions()) & 0o077, 0, "nobody else reads it");
    user.good(&["push", "team/app:1", &name]);
    user.good(&["pull", &name, "back:1"]);

    assert_eq!(user.run(&["logout", &address]).stderr, format!("logged out of {address}\n"));
    assert!(user.bad(&["pull", &name]).contains("requires a login"));
    assert_eq!(user.run(&["logout", &address]).stderr, format!("not logged in to {address}\n"));
}

#[test]
fn everybody_may_pull_where_that_is_set() {
    let (registry, user) = desks();
    let server = Server::start_with(&registry, &["--htpasswd", "users", "--anonymous-pull"]);
    let name = server.name("team/app:1");
    assert!(user.bad(&["push", "team/app:1", &name]).contains("requires a login"));
    login(&user, &server, "ann", PASSWORD);
    user.good(&["push", "team/app:1", &name]);
    let stranger = Desk::new();
    stranger.good(&["pull", &name, "app:1"]);
    assert!(stranger.bad(&["push", "app:1", &server.name("team/app:2")]).contains("requires a login"));
}

#[test]
fn users_can_be_set_in_the_configuration_and_changed_while_serving() {
    let (registry, user) = desks();
    let users = std::fs::read_to_string(registry.path("users")).expect("a file");
    registry.write("users", "");
    registry.write("config.toml", format!("[serve]\nhtpasswd = {:?}\n", registry.text("users")));
    let server = Server::start(&registry);
    let (code, said) = login(&user, &server, "ann", PASSWORD);
    assert_eq!(code, Some(1), "{said}");
    registry.write("users", users);
    let (code, said) = login(&user, &server, "ann", PASSWORD);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_registry_without_logins_says_that_it_did_not_look() {
    let (registry, user) = desks();
    let server = Server::start(&registry);
    let (code, said) = login(&user, &server, "ann", "anything");
    assert_eq!(code, Some(0));
    assert!(said.contains("lets everybody in"), "{said}");
}
