//! TLS with a certificate nobody knows.

use crate::support::Desk;
use crate::support::fixture::{layer, layout};
use crate::support::server::Server;

/// A registry behind TLS, and a user with the image `team/app:1` and the registry's certificate in `ca.pem`.
struct Parties {
    server: Server,
    user: Desk,
    _registry: Desk,
}

impl Parties {
    /// The registry's address by a name that is not a loopback address, so that nothing is taken on trust: for Linux
    /// it leads to the same machine.
    fn address(&self) -> String {
        format!("0.0.0.0:{}", self.server.address.port())
    }
}

fn parties() -> Parties {
    let (registry, user) = (Desk::new(), Desk::new());
    let made = rcgen::generate_simple_self_signed(["0.0.0.0".to_owned()]).expect("a certificate");
    registry.write("cert.pem", made.cert.pem());
    registry.write("key.pem", made.signing_key.serialize_pem());
    user.write("ca.pem", made.cert.pem());
    layout(&user, "layout", &[layer("hello", b"hello\n")]);
    user.good(&["copy", "oci:layout", "team/app:1"]);
    let server = Server::start_with(&registry, &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    Parties { server, user, _registry: registry }
}

#[test]
fn an_unknown_certificate_is_refused_until_the_user_says_otherwise() {
    let parties = parties();
    let (user, address) = (&parties.user, parties.address());
    let name = format!("{address}/team/app:1");
    let said = user.bad(&["push", "team/app:1", &name]);
    assert!(said.contains(&format!("the certificate of {address} is not trusted")), "{said}");
    assert!(said.contains("--registry-ca FILE") && said.contains("--insecure-registry"), "{said}");
    user.good(&["push", "team/app:1", &name, "--insecure-registry", &address]);
    assert!(user.bad(&["pull", &name]).contains("is not trusted"), "an exception is for one command");
}

#[test]
fn an_authority_can_be_trusted() {
    let parties = parties();
    let (user, address) = (&parties.user, parties.address());
    let name = format!("{address}/team/app:1");
    user.good(&["push", "team/app:1", &name, "--registry-ca", "ca.pem"]);
    user.write("config.toml", format!("[registries.\"{address}\"]\nca = [{:?}]\n", user.text("ca.pem")));
    user.good(&["pull", &name, "back:1"]);
}

#[test]
fn a_registry_can_be_insecure_in_the_configuration() {
    let parties = parties();
    let (user, address) = (&parties.user, parties.address());
    user.write("config.toml", format!("[registries.\"{address}\"]\ninsecure = true\n"));
    user.good(&["push", "team/app:1", &format!("{address}/team/app:1")]);
}

#[test]
fn loopback_needs_no_trust() {
    let parties = parties();
    parties.user.good(&["push", "team/app:1", &parties.server.name("team/app:1")]);
}

#[test]
fn plain_http_is_for_loopback_and_those_who_ask_for_it() {
    let (registry, user) = (Desk::new(), Desk::new());
    layout(&user, "layout", &[layer("hello", b"hello\n")]);
    let server = Server::start(&registry);
    let address = format!("0.0.0.0:{}", server.address.port());
    let name = format!("{address}/team/app:1");
    let said = user.bad(&["copy", "oci:layout", &name]);
    assert!(said.contains("does not speak TLS"), "{said}");
    assert!(said.contains(&format!("hint: if {address} really speaks plain HTTP, allow it with")), "{said}");
    user.good(&["copy", "oci:layout", &name, "--insecure-registry", &address]);
}
