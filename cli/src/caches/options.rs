//! The fields of `--cache-from` and `--cache-to`: which there are for each type, and what they may say.

use std::time::Duration;

use wharf_builder::dockerfile::suggest::did_you_mean;
use wharf_builder::settings;
use wharf_client::auth::Secret;

use crate::csv;
use crate::failure::Failure;

/// Of every type.
const COMMON: [&str; 9] = [
    "type",
    "mode",
    "mounts",
    "ignore-error",
    // Layers in a cache are those of the image, and entries are OCI manifests: these are taken and change nothing.
    "compression",
    "compression-level",
    "force-compression",
    "oci-mediatypes",
    "image-manifest",
];

/// Of one type.
const OWN: [(&str, &[&str]); 6] = [
    ("registry", &["ref", "registry.insecure"]),
    ("local", &["src", "dest", "tag", "digest", "reset"]),
    ("inline", &["inline"]),
    (
        "s3",
        &[
            "bucket",
            "region",
            "prefix",
            "blobs_prefix",
            "manifests_prefix",
            "name",
            "endpoint_url",
            "use_path_style",
            "access_key_id",
            "secret_access_key",
            "session_token",
            "touch_refresh",
            "upload_parallelism",
            "disable_accept_encoding",
            "retry_mode",
            "retry_max_attempts",
        ],
    ),
    (
        "azblob",
        &[
            "account_url",
            "account_name",
            "container",
            "secret_access_key",
            "prefix",
            "blobs_prefix",
            "manifests_prefix",
            "name",
        ],
    ),
    ("gha", &["url", "url_v2", "token", "scope", "version", "timeout", "repository", "ghtoken"]),
];

/// Whose values nobody may see.
const SECRETS: [&str; 4] = ["secret_access_key", "session_token", "token", "ghtoken"];

const HINT: &str = "docs/build-cache.md lists the types and what each needs";

/// The fields of a flag.
pub(super) struct Options {
    kind: &'static str,
    fields: Vec<(String, Option<String>)>,
}

impl Options {
    /// Reads a flag. A field that the type does not have is an error.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        let fields = csv::fields(text).ok_or_else(|| {
            Failure::usage("a cache is no list of fields: quotes begin and end a whole field").hint(HINT)
        })?;
        let options = Self { kind: "", fields };
        let kind = options.text("type").or_else(|| options.has("inline").then_some("inline"));
        let kind = kind.ok_or_else(|| options.wrong("type is missing").hint(HINT))?;
        let known = OWN.iter().find(|(known, _)| *known == kind);
        let Some((kind, own)) = known else {
            let types = OWN.iter().map(|(kind, _)| *kind);
            let failure = options.wrong(format!("there is no type {kind}"));
            return Err(with_hint(failure, did_you_mean(kind, types)).hint(HINT));
        };
        let known = || COMMON.iter().chain(*own).copied();
        if let Some((unknown, _)) = options.fields.iter().find(|(name, _)| !known().any(|known| known == name)) {
            let failure = options.wrong(format!("`{unknown}` is not known for type={kind}"));
            return Err(with_hint(failure, did_you_mean(unknown, known())).hint(HINT));
        }
        let options = Self { kind, ..options };
        options.check()?;
        Ok(options)
    }

    /// What is only looked at so that nobody believes in it.
    fn check(&self) -> Result<(), Failure> {
        for name in ["force-compression", "oci-mediatypes", "image-manifest", "disable_accept_encoding"] {
            self.truth(name)?;
        }
        for name in ["compression-level", "retry_max_attempts"] {
            self.number(name)?;
        }
        let formats = ["gzip", "estargz", "zstd", "zstd:chunked", "uncompressed"];
        match self.text("compression") {
            Some(format) if !formats.contains(&format) => {
                Err(self.wrong(format!("compression is one of {}, not {format}", formats.join(", "))))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Its type.
    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| known == name)
    }

    /// A field's value; the last one counts. Empty is none.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().rev().find(|(known, _)| known == name)?.1.as_deref();
        found.filter(|value| !value.is_empty())
    }

    /// A value that must be there.
    pub(super) fn needed(&self, name: &str) -> Result<&str, Failure> {
        self.text(name).ok_or_else(|| self.wrong(format!("{name} is missing")).hint(HINT))
    }

    /// A value of the user's own, as it stands.
    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// A value that nobody may see.
    pub(super) fn secret(&self, name: &str) -> Option<Secret> {
        self.text(name).map(Secret::new)
    }

    /// `true`, `1`, `false`, `0`, or the bare name.
    pub(super) fn truth(&self, name: &str) -> Result<Option<bool>, Failure> {
        match self.text(name) {
            None => Ok(self.has(name).then_some(true)),
            Some(value) => match settings::truth(value) {
                Some(truth) => Ok(Some(truth)),
                None => Err(self.wrong(format!("{name} is true or false, not {value}"))),
            },
        }
    }

    /// A number from 1 on.
    pub(super) fn number(&self, name: &str) -> Result<Option<usize>, Failure> {
        let read = |value: &str| match value.parse() {
            Ok(number) if number > 0 || name == "compression-level" => Ok(number),
            _ => Err(self.wrong(format!("{name} is a number, not {value}"))),
        };
        self.text(name).map(read).transpose()
    }

    /// A span of time: `10m`, `1h30m`.
    pub(super) fn span(&self, name: &str) -> Result<Option<Duration>, Failure> {
        let read = |value: &str| span(value).ok_or_else(|| self.wrong(format!("{name} is a span as 10m, not {value}")));
        self.text(name).map(read).transpose()
    }

    /// An error about this flag, which is shown without its secrets.
    pub(super) fn wrong(&self, what: impl std::fmt::Display) -> Failure {
        let shown = self.fields.iter().map(|(name, value)| match value {
            Some(_) if SECRETS.contains(&name.as_str()) => format!("{name}=…"),
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        });
        Failure::usage(format!("cache `{}`: {what}", shown.collect::<Vec<_>>().join(",")))
    }
}

fn with_hint(failure: Failure, hint: Option<String>) -> Failure {
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Numbers with units, one after the other.
fn span(text: &str) -> Option<Duration> {
    let (mut whole, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let end = rest[digits..].find(|c: char| !c.is_ascii_alphabetic()).map_or(rest.len(), |end| digits + end);
        whole = whole.checked_add(crate::span::parse(&rest[..end]).ok()?)?;
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_with_the_word_that_was_meant_and_without_secrets() {
        for (text, expected) in [
            ("type=s3,bukcet=x", "did you mean `bucket`?"),
            ("type=s3,bucket=x,ref=y", "`ref` is not known for type=s3"),
            ("type=azblo,name=x", "did you mean `azblob`?"),
            ("mode=max", "type is missing"),
            ("type=local,dest=\"x", "quotes begin and end a whole field"),
            ("type=registry,ref=x,compression=lz4", "compression is one of"),
            ("type=registry,ref=x,oci-mediatypes=maybe", "true or false, not maybe"),
            ("type=s3,secret_access_key=hush,x=y", "secret_access_key=…"),
            ("type=gha,token=hush,ghtoken=hush,x=y", "token=…,ghtoken=…"),
        ] {
            let failure = Options::read(text).err().expect(text).render(false);
            assert!(failure.contains(expected), "{text}: {failure}");
            assert!(!failure.contains("hush"), "{failure}");
        }
    }

    #[test]
    fn spans_are_written_as_go_writes_them() {
        for (text, seconds) in [("10m", Some(600)), ("1h30m", Some(5400)), ("24h0m0s", Some(86_400)), ("45", Some(45))]
        {
            assert_eq!(span(text).map(|span| span.as_secs()), seconds, "{text}");
        }
        for bad in ["", "m", "1h-3m", "1w"] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }
}
