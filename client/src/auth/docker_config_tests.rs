use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn host(text: &str) -> RegistryHost {
    text.parse().unwrap()
}

fn password(user: &str, secret: &str) -> Credential {
    Credential::Password { user: user.into(), secret: Secret::new(secret) }
}

fn config(json: &str) -> (tempfile::TempDir, DockerConfig) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), json).unwrap();
    let config = DockerConfig::new(dir.path()).with_helpers_in(dir.path());
    (dir, config)
}

/// A helper that keeps its state in files beside it, as real ones keep theirs in a keychain.
fn install_helper(dir: &Path, name: &str) {
    let script = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 1
case "$1" in
get) read -r server
     if [ "$server" = "broken.example" ]; then echo "keychain is locked" >&2; exit 1; fi
     if [ -f stored ] && grep -q "\"$server\"" stored; then
       sed 's/"ServerURL":"[^"]*",//' stored
     else echo "credentials not found in native keychain"; exit 1; fi ;;
store) cat > stored ;;
erase) read -r server; if [ -f stored ]; then rm stored; else echo "credentials not found in native keychain"; exit 1; fi ;;
esac
"#;
    let path = dir.join(format!("docker-credential-{name}"));
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn every_spelling_of_a_host_is_found() {
    let auth = BASE64.encode("bob:pa:ss");
    for (key, asked, found) in [
        ("h.example:5000", "h.example:5000", true),
        ("https://h.example", "h.example", true),
        ("https://h.example/v1/", "h.example", true),
        ("https://index.docker.io/v1/", "docker.io", true),
        ("docker.io", "docker.io", true),
        ("h.example/team", "h.example", false),
        ("h.example", "h.example:5000", false),
        ("xh.example", "h.example", false),
    ] {
        let (_dir, config) = config(&json!({ "auths": { key: { "auth": auth } } }).to_string());
        let expected = found.then(|| password("bob", "pa:ss"));
        assert_eq!(config.lookup(&host(asked)).await.unwrap(), expected, "{key}");
    }
}

#[tokio::test]
async fn tokens_and_plain_fields_are_understood_and_empty_ones_are_nothing() {
    for (entry, expected) in [
        (json!({ "identitytoken": "t" }), Some(Credential::Identity(Secret::new("t")))),
        (json!({ "registrytoken": "t" }), Some(Credential::Bearer(Secret::new("t")))),
        (json!({ "username": "u", "password": "p" }), Some(password("u", "p"))),
        (json!({ "auth": BASE64.encode("u:p").trim_end_matches('=') }), Some(password("u", "p"))),
        (json!({ "auth": "", "email": "x" }), None),
        (json!({}), None),
    ] {
        let (_dir, config) = config(&json!({ "auths": { "h.example": entry } }).to_string());
        assert_eq!(config.lookup(&host("h.example")).await.unwrap(), expected);
    }
    let nowhere = DockerConfig::new("/nonexistent/directory");
    assert_eq!(nowhere.lookup(&host("h.example")).await.unwrap(), None);
}

#[tokio::test]
async fn a_broken_file_is_named_but_not_quoted() {
    for text in [r#"{"auths": {"h.example": {"auth": "hunter2"#, r#"{"auths":{"h.example":{"auth":"hunter2!"}}}"#] {
        let (dir, config) = config(text);
        let error = config.lookup(&host("h.example")).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(dir.path().to_str().unwrap()), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn logging_in_and_out_leaves_everything_else_alone() {
    let (dir, config) =
        config(r#"{"detachKeys":"ctrl-x","auths":{"other.example":{"auth":"eDp5"},"https://h.example/v1/":{}}}"#);
    let kept = config.store(&host("h.example"), &password("bob", "secret")).await.unwrap();
    let path = dir.path().join("config.json");
    assert_eq!(kept, Kept::File(path.clone()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let read = || serde_json::from_slice::<Value>(&fs::read(&path).unwrap()).unwrap();
    let with = json!({
        "detachKeys": "ctrl-x",
        "auths": { "other.example": { "auth": "eDp5" }, "h.example": { "auth": BASE64.encode("bob:secret") } }
    });
    assert_eq!(read(), with);
    assert!(config.erase(&host("h.example")).await.unwrap());
    assert!(!config.erase(&host("h.example")).await.unwrap());
    assert_eq!(read(), json!({ "detachKeys": "ctrl-x", "auths": { "other.example": { "auth": "eDp5" } } }));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
}

#[tokio::test]
async fn a_linked_configuration_stays_a_link() {
    let (real, _) = config("{}");
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("config.json");
    std::os::unix::fs::symlink(real.path().join("config.json"), &link).unwrap();
    let config = DockerConfig::new(dir.path());
    config.store(&host("h.example"), &password("bob", "secret")).await.unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(config.lookup(&host("h.example")).await.unwrap(), Some(password("bob", "secret")));
}

#[tokio::test]
async fn a_missing_directory_is_made_at_the_first_login() {
    let dir = tempfile::tempdir().unwrap();
    let config = DockerConfig::new(dir.path().join("not/yet"));
    config.store(&host("docker.io"), &Credential::Identity(Secret::new("t"))).await.unwrap();
    assert_eq!(config.lookup(&host("docker.io")).await.unwrap(), Some(Credential::Identity(Secret::new("t"))));
}

#[tokio::test]
async fn helpers_keep_what_they_are_configured_for() {
    for (json, name) in
        [(r#"{"credsStore":"test"}"#, "test"), (r#"{"credHelpers":{"h.example":"own"},"credsStore":"x"}"#, "own")]
    {
        let (dir, config) = config(json);
        install_helper(dir.path(), name);
        assert_eq!(config.lookup(&host("h.example")).await.unwrap(), None);
        let kept = config.store(&host("h.example"), &password("bob", "secret")).await.unwrap();
        assert_eq!(kept, Kept::Helper(name.into()));
        assert_eq!(config.lookup(&host("h.example")).await.unwrap(), Some(password("bob", "secret")));
        let file = fs::read_to_string(dir.path().join("config.json")).unwrap();
        assert!(!file.contains("secret") && file.contains("h.example"), "{file}");
        assert!(config.erase(&host("h.example")).await.unwrap());
        assert_eq!(config.lookup(&host("h.example")).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_helper_gives_identity_tokens_too() {
    let (dir, config) = config(r#"{"credsStore":"test"}"#);
    install_helper(dir.path(), "test");
    let token = Credential::Identity(Secret::new("refresh"));
    config.store(&host("h.example"), &token).await.unwrap();
    assert_eq!(config.lookup(&host("h.example")).await.unwrap(), Some(token));
}

#[tokio::test]
async fn a_helper_that_cannot_help_says_why() {
    let (dir, config) =
        config(r#"{"credsStore":"test","credHelpers":{"gone.example":"gone","evil.example":"../evil"}}"#);
    install_helper(dir.path(), "test");
    let error = |name: &'static str| {
        let config = config.clone();
        async move { config.lookup(&host(name)).await.unwrap_err() }
    };
    assert!(matches!(error("gone.example").await, CredentialError::HelperMissing { .. }));
    assert!(matches!(error("evil.example").await, CredentialError::HelperName(_)));
    let locked = error("broken.example").await.to_string();
    assert!(locked.contains("keychain is locked") && locked.contains("docker-credential-test"), "{locked}");
}
