use super::*;
use crate::dockerfile::directive::Escape;
use crate::dockerfile::{Diagnostic, Span, Word};

fn spec(text: &str) -> Result<MountSpec, Diagnostic> {
    MountSpec::parse(&Word::new(text, Span::new(0, text.len())), Escape::Backslash)
}

fn mount(text: &str) -> Mount {
    resolve(text, &|_| None).unwrap_or_else(|error| panic!("{text}: {error:?}"))
}

fn resolve(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Mount, Diagnostic> {
    Ok(spec(text)?.resolve(Escape::Backslash, lookup)?.value)
}

fn title(text: &str) -> String {
    spec(text).expect_err(text).title
}

#[test]
fn mount_bind_is_the_default_and_read_only() {
    let expected = BindMount { target: "/src".into(), source: String::new(), from: None, read_only: true };
    assert_eq!(mount("target=/src"), Mount::Bind(expected.clone()));
    assert_eq!(mount("type=bind,dst=/src"), Mount::Bind(expected.clone()));
    assert_eq!(mount("TYPE=BIND,Destination=/src,rw"), Mount::Bind(BindMount { read_only: false, ..expected.clone() }));
    assert_eq!(mount("target=/src,ro=false"), Mount::Bind(BindMount { read_only: false, ..expected.clone() }));
    assert_eq!(mount("target=/src,readwrite=0"), Mount::Bind(expected));
}

#[test]
fn mount_bind_from_a_stage() {
    let Mount::Bind(bind) = mount("from=build,source=/out,target=in") else { panic!() };
    assert_eq!((bind.source.as_str(), bind.target.as_str()), ("/out", "in"));
    let from = bind.from.unwrap();
    assert_eq!((from.text.as_str(), from.span), ("build", Span::new(5, 10)));
}

#[test]
fn mount_cache_defaults_and_options() {
    let expected = CacheMount {
        target: "/c".into(),
        id: None,
        sharing: CacheSharing::Shared,
        from: None,
        source: String::new(),
        read_only: false,
        mode: 0o755,
        uid: 0,
        gid: 0,
    };
    assert_eq!(mount("type=cache,target=/c"), Mount::Cache(expected.clone()));
    assert_eq!(
        mount("type=cache,target=/c,id=x,sharing=LOCKED,mode=0700,uid=1000,gid=50,ro"),
        Mount::Cache(CacheMount {
            id: Some("x".into()),
            sharing: CacheSharing::Locked,
            mode: 0o700,
            uid: 1000,
            gid: 50,
            read_only: true,
            ..expected
        })
    );
}

#[test]
fn mount_tmpfs_takes_a_size() {
    let expected = TmpfsMount { target: "/t".into(), size: Some(64 << 20), read_only: false };
    assert_eq!(mount("type=tmpfs,target=/t,size=64m"), Mount::Tmpfs(expected));
}

#[test]
fn mount_secret_names_and_places() {
    let secret = |text| match mount(text) {
        Mount::Secret(secret) => (secret.id, secret.target, secret.env),
        other => panic!("{other:?}"),
    };
    let file = |path: &str| Some(path.to_owned());
    assert_eq!(secret("type=secret,id=a/b"), ("a/b".into(), file("/run/secrets/b"), None));
    assert_eq!(secret("type=secret,target=/x/key"), ("key".into(), file("/x/key"), None));
    assert_eq!(secret("type=secret,src=s,dst=/k"), ("s".into(), file("/k"), None));
    assert_eq!(secret("type=secret,id=t,env=TOKEN"), ("t".into(), None, file("TOKEN")));
    assert_eq!(secret("type=secret,id=t,env=TOKEN,target=/k"), ("t".into(), file("/k"), file("TOKEN")));
    let Mount::Secret(secret) = mount("type=secret,id=a,required,mode=0440,uid=7") else { panic!() };
    assert!(secret.required);
    assert_eq!((secret.mode, secret.uid, secret.gid), (0o440, 7, 0));
    let Mount::Secret(secret) = mount("type=secret,id=a") else { panic!() };
    assert_eq!((secret.mode, secret.required), (0o400, false));
}

#[test]
fn mount_ssh_defaults() {
    let Mount::Ssh(ssh) = mount("type=ssh") else { panic!() };
    assert_eq!((ssh.id.as_str(), ssh.target, ssh.mode, ssh.required), ("default", None, 0o600, false));
    assert!(matches!(mount("type=ssh,required=true"), Mount::Ssh(SshMount { required: true, .. })));
}

#[test]
fn mount_values_are_expanded_even_the_type() {
    let lookup = |name: &str| match name {
        "T" => Some("cache".to_owned()),
        "D" => Some("/var/cache/x".to_owned()),
        _ => None,
    };
    let spec = spec("type=$T,target=${D},id=$N").unwrap();
    let resolved = spec.resolve(Escape::Backslash, &lookup).unwrap();
    assert!(matches!(&resolved.value, Mount::Cache(cache) if cache.target == "/var/cache/x" && cache.id.is_none()));
    assert_eq!(resolved.used(), ["D", "T"].into());
    assert_eq!(resolved.undefined(), ["N"].into());
    let error = resolve("type=$N,target=/x", &lookup).unwrap_err();
    assert!(error.title.contains("not a type of mount"), "{error:?}");
}

#[test]
fn mount_from_is_never_expanded() {
    let error = spec("from=$X,target=/x").unwrap_err();
    assert!(error.help[0].contains("FROM $X AS"), "{error:?}");
    assert!(spec("from=a$,target=/x").is_ok());
}

#[test]
fn mount_wrong_key_for_the_type() {
    for (text, expected) in [
        ("target=/x,required", "a bind mount has no option `required`"),
        ("target=/x,size=1", "a bind mount has no option `size`"),
        ("target=/x,mode=1", "a bind mount has no option `mode`"),
        ("type=tmpfs,target=/x,uid=1", "a tmpfs mount has no option `uid`"),
        ("type=cache,target=/x,size=1", "a cache mount has no option `size`"),
        ("type=cache,target=/x,env=A", "a cache mount has no option `env`"),
        ("type=secret,id=a,from=b", "a secret mount has no option `from`"),
        ("type=secret,id=a,sharing=locked", "a secret mount has no option `sharing`"),
        ("type=ssh,sharing=locked", "a ssh mount has no option `sharing`"),
        ("type=ssh,size=1", "a ssh mount has no option `size`"),
    ] {
        assert_eq!(title(text), expected);
    }
}

#[test]
fn mount_order_of_keys_does_not_matter() {
    assert!(matches!(mount("required,id=a,type=secret"), Mount::Secret(SecretMount { required: true, .. })));
}

#[test]
fn mount_malformed_values() {
    for (text, expected) in [
        ("type=volume,target=/x", "`volume` is not a type of mount"),
        ("type=cache,target=/x,sharing=some", "`some` is not a way to share a cache"),
        ("type=cache,target=/x,mode=999", "`999` is not an octal mode such as 0755"),
        ("type=cache,target=/x,uid=-1", "`-1` is not a user number"),
        ("type=cache,target=/x,gid=+1", "`+1` is not a group number"),
        ("type=tmpfs,target=/x,size=big", "`big` is not a size such as 64m or 1g"),
        ("target=/x,ro=maybe", "`maybe` is not true or false"),
        ("target=/", "a mount cannot replace the root directory"),
        ("type=secret", "this mount does not say which secret"),
        ("type=secret,id=a,source=b", "a secret mount takes `id` or `source`, not both"),
        ("tagret=/x", "`tagret` is not an option of a mount"),
        ("target", "`target` needs a value"),
        ("target=/x,", "this option is empty"),
        ("", "this option is empty"),
    ] {
        assert_eq!(title(text), expected, "{text}");
    }
    assert_eq!(spec("tagret=/x").unwrap_err().help, ["did you mean `target`?"]);
}

#[test]
fn mount_fields_may_be_quoted() {
    let Mount::Bind(bind) = mount("type=bind,\"target=/a,b\"") else { panic!() };
    assert_eq!(bind.target, "/a,b");
    assert!(title("\"target=/a").contains("never closed"));
    assert!(title("\"target=/a\"x").contains("after the closing quote"));
    assert!(title("target=\"/a\"").contains("double quote inside"));
}
