//! Sources as policies see them: the fields of `input`, named as Docker names them.

use serde_json::{Map, Value, json};
use wharf_spec::{Digest, Platform, Reference, RegistryHost};

use crate::base::BaseImage;
use crate::git::GitSource;

/// Something that a build takes files from, as far as it is known.
#[derive(Clone, Debug)]
pub struct Subject {
    /// `docker-image://docker.io/library/alpine:3`, `https://…`, `git://…`, `local://context`.
    pub(super) identifier: String,
    /// Which object of `input` it is.
    pub(super) object: &'static str,
    pub(super) fields: Map<String, Value>,
    /// Fields that are known when somebody asks.
    pub(super) later: Vec<&'static str>,
    /// Fields that Docker has, and Wharf does not know.
    pub(super) never: Vec<&'static str>,
}

/// What a configuration says, and the registry.
const LATER: [&str; 8] = ["checksum", "createdTime", "labels", "env", "user", "volumes", "workingDir", "hasProvenance"];

impl Subject {
    /// An image, of which nobody has asked yet.
    pub fn image(reference: &Reference, platform: &Platform) -> Self {
        let whole = reference.normalize_docker();
        let tag = if whole.digest.is_some() { whole.tag.clone() } else { whole.tag_or_latest() };
        let whole = Reference { tag, ..whole };
        let host = whole.host.as_ref().map(RegistryHost::as_str).unwrap_or_default();
        let path = whole.repository.as_str();
        let full = format!("{host}/{path}");
        let short = match host {
            "docker.io" => path.strip_prefix("library/").unwrap_or(path),
            _ => full.as_str(),
        };
        let mut fields = Fields::default();
        fields.text("ref", &whole.to_string());
        fields.text("host", host);
        fields.text("repo", short);
        fields.text("fullRepo", &full);
        fields.text("tag", &whole.tag.as_ref().map(ToString::to_string).unwrap_or_default());
        fields.text("platform", &platform.to_string());
        fields.text("os", &platform.os);
        fields.text("arch", &platform.architecture);
        fields.text("variant", platform.variant.as_deref().unwrap_or_default());
        fields.flag("isCanonical", whole.digest.is_some());
        fields.text("checksum", &whole.digest.map(|digest| digest.to_string()).unwrap_or_default());
        let later = LATER.into_iter().filter(|name| *name != "checksum" || whole.digest.is_none()).collect();
        Self {
            identifier: format!("docker-image://{whole}"),
            object: "image",
            fields: fields.0,
            later,
            never: vec!["provenance", "signatures"],
        }
    }

    /// What is known of an image when it was looked at.
    pub(crate) fn describe(&mut self, image: &BaseImage) {
        let config = &image.config.config;
        let mut fields = Fields(std::mem::take(&mut self.fields));
        fields.text("checksum", &image.digest.to_string());
        fields.text("createdTime", &image.config.created.as_deref().map(to_the_second).unwrap_or_default());
        fields.some("labels", json!(config.labels));
        fields.some("env", json!(config.env));
        fields.text("user", &config.user);
        fields.some("volumes", json!(config.volumes.keys().collect::<Vec<_>>()));
        fields.text("workingDir", &config.working_dir);
        fields.flag("hasProvenance", image.attested);
        self.fields = fields.0;
        self.later.clear();
    }

    /// What a URL names.
    pub fn url(url: &str, checksum: Option<&Digest>) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let scheme = scheme.to_lowercase();
        let (before, _) = rest.split_once('#').unwrap_or((rest, ""));
        let (before, query) = before.split_once('?').unwrap_or((before, ""));
        let (authority, path) = match before.find('/') {
            Some(at) => before.split_at(at),
            None => (before, ""),
        };
        let host = authority.rsplit('@').next().unwrap_or(authority).to_lowercase();
        let port = if scheme == "http" { ":80" } else { ":443" };
        let mut fields = Fields::default();
        fields.text("url", url);
        fields.text("schema", &scheme);
        fields.text("host", host.strip_suffix(port).unwrap_or(&host));
        fields.text("path", &decoded(path, false));
        fields.some("query", questions(query));
        fields.text("checksum", &checksum.map(ToString::to_string).unwrap_or_default());
        let mut never = vec!["signature", "attestationBundle"];
        if checksum.is_none() {
            never.push("checksum");
        }
        Self { identifier: url.to_owned(), object: "http", fields: fields.0, later: Vec::new(), never }
    }

    /// What is wanted of a repository.
    pub fn repository(source: &GitSource, identifier: String) -> Self {
        let remote = source.remote.as_str();
        let (scheme, rest) = remote.split_once("://").unwrap_or(("ssh", remote));
        let ends: &[char] = if remote.contains("://") { &['/'] } else { &['/', ':'] };
        let authority = rest.split(ends).next().unwrap_or_default();
        let reference = source.reference.as_deref().unwrap_or_default();
        let commit = is_commit(reference).then_some(reference);
        let whole = commit.is_some() || reference.starts_with("refs/tags/") || reference.starts_with("refs/heads/");
        let mut fields = Fields::default();
        fields.text("schema", scheme);
        fields.text("host", authority.rsplit('@').next().unwrap_or_default());
        fields.text("remote", remote);
        fields.text("fullURL", remote);
        fields.text("tagName", reference.strip_prefix("refs/tags/").unwrap_or_default());
        fields.text("branch", reference.strip_prefix("refs/heads/").unwrap_or_default());
        fields.text("subDir", source.directory.as_deref().unwrap_or_default());
        fields.flag("isCommitRef", commit.is_some());
        let mut never = vec!["tag", "commit"];
        if whole {
            fields.text("ref", reference);
        } else {
            never.extend(["tagName", "branch", "ref"]);
        }
        // A whole commit that was promised is what is checked out, or the build fails.
        match commit.or(source.commit.as_deref().filter(|commit| is_commit(commit))) {
            Some(commit) => {
                fields.text("checksum", commit);
                fields.text("commitChecksum", commit);
                fields.flag("isSHA256", commit.len() == 64);
            }
            None => never.extend(["checksum", "commitChecksum", "isAnnotatedTag", "isSHA256"]),
        }
        Self { identifier, object: "git", fields: fields.0, later: Vec::new(), never }
    }

    /// A directory of this machine, by the name it has in the build.
    pub fn local(name: &str) -> Self {
        let mut fields = Fields::default();
        fields.text("name", name);
        let identifier = format!("local://{name}");
        Self { identifier, object: "local", fields: fields.0, later: Vec::new(), never: Vec::new() }
    }

    /// Whether this is what its bytes are known to hash to.
    pub(in crate::policy) fn is(&self, digest: &Digest) -> bool {
        self.fields.get("checksum").and_then(Value::as_str) == Some(digest.to_string().as_str())
    }

    /// What it is called in messages.
    pub fn identifier(&self) -> &str {
        &self.identifier
    }

    /// Fields that are not known now.
    pub fn unresolved(&self) -> Vec<String> {
        let names = self.later.iter().chain(&self.never);
        let mut names: Vec<String> = names.map(|name| format!("{}.{name}", self.object)).collect();
        names.sort();
        names
    }

    /// `input`, without `env`.
    pub fn input(&self) -> Value {
        json!({ self.object: self.fields })
    }
}

/// Fields of which those are left out that are empty, as Docker leaves them out.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.0.insert(name.to_owned(), json!(value));
        }
    }

    fn flag(&mut self, name: &str, value: bool) {
        if value {
            self.0.insert(name.to_owned(), json!(true));
        }
    }

    fn some(&mut self, name: &str, value: Value) {
        let empty = match &value {
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Null => true,
            Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        };
        if !empty {
            self.0.insert(name.to_owned(), value);
        }
    }
}

fn is_commit(reference: &str) -> bool {
    matches!(reference.len(), 40 | 64) && reference.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// RFC 3339 without fractions of seconds.
fn to_the_second(time: &str) -> String {
    match (time.find('.'), time.rfind(['Z', '+', '-'])) {
        (Some(point), Some(zone)) if point < zone => format!("{}{}", &time[..point], &time[zone..]),
        _ => time.to_owned(),
    }
}

fn questions(query: &str) -> Value {
    let mut all: Map<String, Value> = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let values = all.entry(decoded(name, true)).or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(json!(decoded(value, true)));
        }
    }
    Value::Object(all)
}

/// Text without percent-encoding, and in queries with blanks for `+`.
fn decoded(text: &str, plus: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = hex.filter(|_| *first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        (bytes, rest) = match byte {
            Some(byte) => ([bytes.as_slice(), &[byte]].concat(), &after[2..]),
            None if plus && *first == b'+' => ([bytes.as_slice(), b" "].concat(), after),
            None => ([bytes.as_slice(), &[*first]].concat(), after),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
