//! Logins: the token protocol both ways, Basic, and what must not leak.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hyper::{Method, header};
use wharf_client::auth::{Credential, CredentialError, Credentials, DockerConfig, Kept, Secret};
use wharf_client::ignore_notices;
use wharf_client::registry::{Client, login};
use wharf_client::transfer::{Error, ImageSink, ImageSource, Origin, Target};
use wharf_spec::{Descriptor, Digest, MediaType, RegistryHost};

use crate::fake::{Fake, Fault, Seen, error, json, pairs, quick, status, with};
use crate::images::tag;

/// One credential for everybody.
pub(crate) struct Fixed(Option<Credential>);

impl Fixed {
    pub(crate) fn password(user: &str, secret: &str) -> Self {
        Self(Some(Credential::Password { user: user.into(), secret: Secret::new(secret) }))
    }
}

#[async_trait]
impl Credentials for Fixed {
    async fn lookup(&self, _: &RegistryHost) -> Result<Option<Credential>, CredentialError> {
        Ok(self.0.clone())
    }
}

const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

/// Makes a fake want tokens, which its own `/token` gives to `bob`, to holders of the refresh token, and to nobody else; or to
/// everybody for reading. A token is the scopes it was given for.
fn require_tokens(fake: &Fake, anonymous: bool) {
    let realm = format!("http://{}/token", fake.address());
    fake.hook(move |seen| {
        if seen.path == "/token" {
            return Some(Fault::Answer(give_token(seen, anonymous)));
        }
        let sent = seen.header(header::AUTHORIZATION).unwrap_or_default();
        let name = seen.path.trim_start_matches("/v2/").split('/').next().unwrap_or_default();
        let action = if matches!(seen.method, Method::GET | Method::HEAD) { "pull" } else { "push" };
        let granted = sent.strip_prefix("Bearer ").unwrap_or_default().replace("%20", " ");
        let allowed =
            granted.split(' ').any(|scope| scope.starts_with(&format!("repository:{name}:")) && scope.contains(action));
        let open = seen.path == "/v2/" && sent.starts_with("Bearer ");
        if allowed || open {
            return None;
        }
        let scope = if name.is_empty() { String::new() } else { format!(",scope=\"repository:{name}:{action}\"") };
        let challenge = format!("Bearer realm=\"{realm}\",service=\"fake\"{scope}");
        Some(Fault::Answer(with(error(401, "UNAUTHORIZED"), header::WWW_AUTHENTICATE, &challenge)))
    });
}

fn give_token(seen: &Seen, anonymous: bool) -> hyper::Response<crate::fake::Body> {
    let known = match seen.method {
        Method::POST => true,
        _ => match seen.header(header::AUTHORIZATION) {
            Some("Basic Ym9iOmh1bnRlcjI=") => true,
            Some(_) => return error(401, "UNAUTHORIZED"),
            None => anonymous,
        },
    };
    if !known {
        return error(401, "UNAUTHORIZED");
    }
    let scopes: Vec<String> = seen
        .query
        .split('&')
        .filter(|pair| pair.starts_with("scope="))
        .map(|pair| pairs(pair)["scope"].clone())
        .collect();
    let token = if scopes.is_empty() { "none".to_owned() } else { scopes.join("%20") };
    json(&serde_json::json!({ "token": token, "expires_in": 300 }).to_string())
}

fn connect(fake: &Fake, credential: Option<Credential>) -> wharf_client::registry::RemoteRepository {
    Client::new(quick(), Arc::new(Fixed(credential)), ignore_notices())
        .unwrap()
        .repository(&fake.host(), &"app".parse().unwrap())
}

#[expect(clippy::unnecessary_wraps, reason = "what `connect` takes, beside `None`")]
fn bob(secret: &str) -> Option<Credential> {
    Some(Credential::Password { user: "bob".into(), secret: Secret::new(secret) })
}

fn tokens(fake: &Fake) -> Vec<Seen> {
    fake.log().into_iter().filter(|seen| seen.path == "/token").collect()
}

#[tokio::test]
async fn a_token_is_fetched_once_and_used_for_everything_in_its_scope() {
    let fake = Fake::start().await;
    fake.add_manifest("app", "v1", MediaType::OCI_INDEX, INDEX);
    require_tokens(&fake, false);
    let repository = connect(&fake, bob("hunter2"));
    for _ in 0..3 {
        repository.manifest(&Target::Tag(tag("v1"))).await.unwrap();
    }
    let seen = tokens(&fake);
    assert_eq!(seen.len(), 1);
    let query = pairs(&seen[0].query);
    assert_eq!((query["service"].as_str(), query["scope"].as_str()), ("fake", "repository:app:pull"));
    let blob = Descriptor::new("", Digest::sha256(b"x"), 1);
    repository.put_blob(&blob, &bytes::Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(tokens(&fake).len(), 2, "writing needs another one");
    let unauthorized = fake.log().iter().filter(|seen| seen.header(header::AUTHORIZATION).is_none()).count();
    assert_eq!(unauthorized, 1, "only the very first request went without");
}

#[tokio::test]
async fn public_images_need_no_login_but_a_token() {
    let fake = Fake::start().await;
    fake.add_manifest("app", "v1", MediaType::OCI_INDEX, INDEX);
    require_tokens(&fake, true);
    connect(&fake, None).manifest(&Target::Tag(tag("v1"))).await.unwrap();
    assert_eq!(tokens(&fake)[0].header(header::AUTHORIZATION), None);
}

#[tokio::test]
async fn an_identity_token_is_posted() {
    let fake = Fake::start().await;
    fake.add_manifest("app", "v1", MediaType::OCI_INDEX, INDEX);
    // The scopes of a POST are in its form.
    let realm = format!("http://{}/token", fake.address());
    fake.hook(move |seen| {
        if seen.path == "/token" {
            let right = seen.method == Method::POST;
            return Some(Fault::Answer(if right { json(r#"{"access_token":"good"}"#) } else { status(405) }));
        }
        let good = seen.header(header::AUTHORIZATION) == Some("Bearer good");
        let challenge = format!("Bearer realm=\"{realm}\",service=\"fake\"");
        (!good).then(|| Fault::Answer(with(status(401), header::WWW_AUTHENTICATE, &challenge)))
    });
    let refresh = Some(Credential::Identity(Secret::new("refresh+me")));
    connect(&fake, refresh).manifest(&Target::Tag(tag("v1"))).await.unwrap();
    let form = pairs(std::str::from_utf8(&tokens(&fake)[0].body).unwrap());
    assert_eq!(form["grant_type"], "refresh_token");
    assert_eq!(form["refresh_token"], "refresh+me");
    assert_eq!(form["scope"], "repository:app:pull");
}

#[tokio::test]
async fn a_token_the_registry_no_longer_takes_is_replaced_once() {
    let fake = Fake::start().await;
    fake.add_manifest("app", "v1", MediaType::OCI_INDEX, INDEX);
    let realm = format!("http://{}/token", fake.address());
    let valid = Arc::new(Mutex::new(0));
    let given = Arc::new(Mutex::new(0));
    let now_valid = valid.clone();
    fake.hook(move |seen| {
        if seen.path == "/token" {
            let mut given = given.lock().unwrap();
            *given += 1;
            return Some(Fault::Answer(json(&format!(r#"{{"token":"t{given}"}}"#))));
        }
        let good = seen.header(header::AUTHORIZATION) == Some(&format!("Bearer t{}", now_valid.lock().unwrap()));
        let challenge = format!("Bearer realm=\"{realm}\",error=\"invalid_token\"");
        (!good).then(|| Fault::Answer(with(status(401), header::WWW_AUTHENTICATE, &challenge)))
    });
    let repository = connect(&fake, bob("hunter2"));
    *valid.lock().unwrap() = 1;
    repository.manifest(&Target::Tag(tag("v1"))).await.unwrap();
    *valid.lock().unwrap() = 2;
    repository.manifest(&Target::Tag(tag("v1"))).await.unwrap();
    *valid.lock().unwrap() = 99;
    let error = repository.manifest(&Target::Tag(tag("v1"))).await.unwrap_err();
    assert!(error.to_string().contains("did not accept the login"), "{error}");
    assert_eq!(tokens(&fake).len(), 3, "one for each 401, no more");
}

#[tokio::test]
async fn a_wrong_password_is_named_but_not_shown() {
    let fake = Fake::start().await;
    require_tokens(&fake, false);
    for (credential, expected) in [(bob("wrong-pass"), "did not accept the login"), (None, "requires a login")] {
        let error = connect(&fake, credential).manifest(&Target::Tag(tag("v1"))).await.unwrap_err();
        let shown = format!("{error} {error:?} {:?}", error.hint());
        assert!(error.to_string().contains(expected), "{shown}");
        assert!(error.hint().unwrap().contains(&format!("wharf login {}", fake.host())), "{shown}");
        assert!(!shown.contains("wrong-pass") && !shown.contains("Basic ") && !shown.contains("Bearer "), "{shown}");
    }
}

#[tokio::test]
async fn basic_is_sent_with_every_request_after_the_first() {
    let fake = Fake::start().await;
    fake.add_manifest("app", "v1", MediaType::OCI_INDEX, INDEX);
    fake.hook(|seen| {
        let good = seen.header(header::AUTHORIZATION) == Some("Basic Ym9iOmh1bnRlcjI=");
        (!good).then(|| Fault::Answer(with(status(401), header::WWW_AUTHENTICATE, "Negotiate, Basic realm=\"x\"")))
    });
    let repository = connect(&fake, bob("hunter2"));
    for _ in 0..2 {
        repository.manifest(&Target::Tag(tag("v1"))).await.unwrap();
    }
    assert_eq!(fake.count(Method::GET, "/manifests/"), 3);
    let wrong = connect(&fake, bob("wrong"));
    for requests in [5, 6] {
        let error = wrong.manifest(&Target::Tag(tag("v1"))).await.unwrap_err();
        assert!(error.to_string().contains("did not accept the login"), "{error}");
        assert_eq!(fake.count(Method::GET, "/manifests/"), requests, "what was refused is not sent again");
    }
}

#[tokio::test]
async fn a_mount_asks_for_both_repositories() {
    let fake = Fake::start().await;
    require_tokens(&fake, false);
    let digest = fake.add_blob("base", "layer");
    let repository = connect(&fake, bob("hunter2"));
    let blob = Descriptor::new("", digest, 5);
    let origin = Origin::Registry { host: fake.host(), repository: "base".parse().unwrap() };
    assert!(repository.mount(&blob, &origin).await.unwrap());
    let scopes: Vec<String> = tokens(&fake)[0]
        .query
        .split('&')
        .filter(|pair| pair.starts_with("scope="))
        .map(|pair| pairs(pair)["scope"].clone())
        .collect();
    assert_eq!(scopes, ["repository:app:pull,push", "repository:base:pull"]);
    assert!(fake.has_blob("app", &digest));
}

#[tokio::test]
async fn logging_in_keeps_what_was_accepted_and_nothing_else() {
    let fake = Fake::start().await;
    require_tokens(&fake, false);
    let dir = tempfile::tempdir().unwrap();
    let store = DockerConfig::new(dir.path());
    let try_login = |secret: &str| {
        let (fake, store, credential) = (fake.clone(), store.clone(), bob(secret).unwrap());
        async move { login(&quick(), &store, &fake.host(), credential, ignore_notices()).await }
    };
    let error = try_login("wrong").await.unwrap_err();
    assert!(matches!(error, Error::Registry(_)), "{error}");
    assert_eq!(store.lookup(&fake.host()).await.unwrap(), None);
    let done = try_login("hunter2").await.unwrap();
    assert!(done.checked);
    assert_eq!(done.kept, Kept::File(dir.path().join("config.json")));
    assert_eq!(store.lookup(&fake.host()).await.unwrap(), bob("hunter2"));

    let open = Fake::start().await;
    let done = login(&quick(), &store, &open.host(), bob("any").unwrap(), ignore_notices()).await.unwrap();
    assert!(!done.checked, "a registry that asks nobody cannot say whether a password is right");

    let no_registry = Fake::start().await;
    no_registry.hook(|_| Some(Fault::Answer(status(404))));
    let error = login(&quick(), &store, &no_registry.host(), bob("any").unwrap(), ignore_notices()).await.unwrap_err();
    assert!(error.to_string().contains("it is no registry"), "{error}");
}
