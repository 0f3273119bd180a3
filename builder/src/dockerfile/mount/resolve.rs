//! From fields to a mount: values expanded, each key held against the type.

use super::{BindMount, CacheMount, CacheSharing, Mount, MountField, MountSpec, SecretMount, SshMount, TmpfsMount};
use crate::dockerfile::diagnostic::Diagnostic;
use crate::dockerfile::directive::Escape;
use crate::dockerfile::expand::{Expansion, Lookup, expand};
use crate::dockerfile::span::{Span, Word};
use crate::dockerfile::suggest::did_you_mean;
use crate::settings;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Bind, Self::Cache, Self::Tmpfs, Self::Secret, Self::Ssh];

    fn as_str(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }

    /// Keys that would be an error for this type. The others without a meaning are ignored, as builders always did.
    fn rejects(self, key: &str) -> bool {
        match key {
            "required" => !matches!(self, Self::Secret | Self::Ssh),
            "size" => self != Self::Tmpfs,
            "sharing" => self != Self::Cache,
            "mode" | "uid" | "gid" => matches!(self, Self::Bind | Self::Tmpfs),
            "from" => self == Self::Secret,
            "env" => self != Self::Secret,
            _ => false,
        }
    }
}

/// The fields after expansion, whatever the type.
#[derive(Default)]
struct Draft {
    kind: Kind,
    target: Option<String>,
    source: Option<String>,
    from: Option<Word>,
    id: Option<String>,
    sharing: CacheSharing,
    read_only: Option<bool>,
    required: bool,
    size: Option<u64>,
    mode: Option<u32>,
    uid: u32,
    gid: u32,
    env: Option<String>,
}

impl MountSpec {
    /// Expands the fields in an environment and checks them. Variables looked up are part of the result.
    pub fn resolve(&self, escape: Escape, lookup: &Lookup<'_>) -> Result<Expansion<Mount>, Diagnostic> {
        let mut references = Vec::new();
        let mut draft = Draft::default();
        for field in &self.fields {
            let value = match &field.value {
                Some(word) => {
                    let expansion = expand(word, escape, lookup)?;
                    references.extend(expansion.references);
                    Word::new(expansion.value, word.span)
                }
                None => Word::new("true", field.key.span),
            };
            draft.set(field.key.as_str(), value)?;
        }
        self.check_keys(draft.kind)?;
        Ok(Expansion { value: draft.finish(self.span)?, references })
    }

    fn check_keys(&self, kind: Kind) -> Result<(), Diagnostic> {
        let rejected = |field: &&MountField| kind.rejects(field.key.as_str());
        match self.fields.iter().find(rejected) {
            None => Ok(()),
            Some(field) => {
                let owners: Vec<_> = Kind::ALL.into_iter().filter(|kind| !kind.rejects(field.key.as_str())).collect();
                let owners = owners.into_iter().map(Kind::as_str).collect::<Vec<_>>().join(", ");
                Err(Diagnostic::error(
                    format!("a {} mount has no option `{}`", kind.as_str(), field.key.text),
                    field.key.span,
                )
                .note(format!("`{}` belongs to: {owners}", field.key.text)))
            }
        }
    }
}

impl Draft {
    fn set(&mut self, key: &str, value: Word) -> Result<(), Diagnostic> {
        match key {
            "type" => self.kind = kind(&value)?,
            "target" | "dst" | "destination" => self.target = non_empty(value.text),
            "source" | "src" => self.source = non_empty(value.text),
            "from" => self.from = Some(value).filter(|from| !from.text.is_empty()),
            "id" => self.id = non_empty(value.text),
            "sharing" => self.sharing = sharing(&value)?,
            "readonly" | "ro" => self.read_only = Some(truth(&value)?),
            "readwrite" | "rw" => self.read_only = Some(!truth(&value)?),
            "required" => self.required = truth(&value)?,
            "size" => self.size = Some(size(&value)?),
            "mode" => self.mode = Some(number(&value, 8, "an octal mode such as 0755")?),
            "uid" => self.uid = number(&value, 10, "a user number")?,
            "gid" => self.gid = number(&value, 10, "a group number")?,
            "env" => self.env = non_empty(value.text),
            _ => {}
        }
        Ok(())
    }

    fn finish(self, span: Span) -> Result<Mount, Diagnostic> {
        match self.kind {
            Kind::Bind | Kind::Cache | Kind::Tmpfs => self.finish_directory(span),
            Kind::Secret => self.finish_secret(span).map(Mount::Secret),
            Kind::Ssh => Ok(Mount::Ssh(SshMount {
                id: self.id.unwrap_or_else(|| "default".to_owned()),
                target: self.target,
                required: self.required,
                mode: self.mode.unwrap_or(0o600),
                uid: self.uid,
                gid: self.gid,
            })),
        }
    }

    fn finish_directory(self, span: Span) -> Result<Mount, Diagnostic> {
        let target = self.target.unwrap_or_default();
        if is_root(&target) {
            return Err(Diagnostic::error("a mount cannot replace the root directory", span)
                .help("set `target` to a directory below it"));
        }
        let (source, from) = (self.source.unwrap_or_default(), self.from);
        Ok(match self.kind {
            Kind::Cache => Mount::Cache(CacheMount {
                target,
                id: self.id,
                sharing: self.sharing,
                from,
                source,
                read_only: self.read_only.unwrap_or(false),
                mode: self.mode.unwrap_or(0o755),
                uid: self.uid,
                gid: self.gid,
            }),
            Kind::Tmpfs => {
                Mount::Tmpfs(TmpfsMount { target, size: self.size, read_only: self.read_only.unwrap_or(false) })
            }
            Kind::Bind | Kind::Secret | Kind::Ssh => {
                Mount::Bind(BindMount { target, source, from, read_only: self.read_only.unwrap_or(true) })
            }
        })
    }

    fn finish_secret(self, span: Span) -> Result<SecretMount, Diagnostic> {
        let id = match (self.source, self.id, &self.target) {
            (Some(_), Some(_), _) => {
                return Err(Diagnostic::error("a secret mount takes `id` or `source`, not both", span)
                    .note("both name the secret"));
            }
            (Some(id), None, _) | (None, Some(id), _) => id,
            (None, None, Some(target)) => base_name(target).to_owned(),
            (None, None, None) => {
                return Err(Diagnostic::error("this mount does not say which secret", span)
                    .expected("expected `id=…` or `target=…`"));
            }
        };
        let target = match (self.target, &self.env) {
            (None, None) => Some(format!("/run/secrets/{}", base_name(&id))),
            (target, _) => target,
        };
        Ok(SecretMount {
            id,
            target,
            env: self.env,
            required: self.required,
            mode: self.mode.unwrap_or(0o400),
            uid: self.uid,
            gid: self.gid,
        })
    }
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// The last component of a path.
fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// Whether an absolute path means `/` once `.` and `..` are resolved.
fn is_root(path: &str) -> bool {
    let mut depth = 0_usize;
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
    }
    path.starts_with('/') && depth == 0
}

fn kind(value: &Word) -> Result<Kind, Diagnostic> {
    let found = Kind::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(&value.text));
    found.ok_or_else(|| {
        Diagnostic::error(format!("`{}` is not a type of mount", value.text), value.span)
            .expected("expected bind, cache, tmpfs, secret or ssh")
            .maybe_help(did_you_mean(&value.text, Kind::ALL.map(Kind::as_str)))
    })
}

fn sharing(value: &Word) -> Result<CacheSharing, Diagnostic> {
    match value.text.to_ascii_lowercase().as_str() {
        "shared" => Ok(CacheSharing::Shared),
        "private" => Ok(CacheSharing::Private),
        "locked" => Ok(CacheSharing::Locked),
        _ => Err(Diagnostic::error(format!("`{}` is not a way to share a cache", value.text), value.span)
            .expected("expected shared, private or locked")
            .maybe_help(did_you_mean(&value.text, ["shared", "private", "locked"]))),
    }
}

fn truth(value: &Word) -> Result<bool, Diagnostic> {
    settings::truth(&value.text).ok_or_else(|| invalid(value, "true or false"))
}

fn number(value: &Word, radix: u32, what: &str) -> Result<u32, Diagnostic> {
    // A sign is accepted by the standard library, not by the language.
    let digits = Some(value.text.as_str()).filter(|text| text.starts_with(|c: char| c.is_ascii_digit()));
    digits.and_then(|text| u32::from_str_radix(text, radix).ok()).ok_or_else(|| invalid(value, what))
}

/// A size such as `64m` or `1.5GiB`; all units are powers of 1024.
fn size(value: &Word) -> Result<u64, Diagnostic> {
    parse_size(&value.text).ok_or_else(|| invalid(value, "a size such as 64m or 1g"))
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_lowercase();
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" if unit.is_empty() || unit == "b" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    let digits = digits.trim_end_matches(' ');
    if !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') || !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let unit = 1024_u64.pow(power);
    match digits.split_once('.') {
        None => digits.parse::<u64>().ok()?.checked_mul(unit),
        Some((whole, fraction)) => {
            // Decimals of a unit, exact to nine places: enough for any size anyone writes.
            let billionths: u64 = format!("{:0<9}", fraction.get(..9).unwrap_or(fraction)).parse().ok()?;
            let part = u64::try_from(u128::from(unit) * u128::from(billionths) / 1_000_000_000).ok()?;
            whole.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(part)
        }
    }
}

fn invalid(value: &Word, expected: &str) -> Diagnostic {
    Diagnostic::error(format!("`{}` is not {expected}", value.text), value.span)
        .expected(format!("expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::{is_root, parse_size};

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1024", Some(1024)),
            ("10b", Some(10)),
            ("64m", Some(64 << 20)),
            ("64MB", Some(64 << 20)),
            ("1GiB", Some(1 << 30)),
            ("1.5g", Some(3 << 29)),
            ("2 k", Some(2048)),
            ("", None),
            ("m", None),
            ("-1", None),
            ("1x", None),
            ("1.2.3", None),
            ("99999999999999999999", None),
            ("9999999999p", None),
            ("1i", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }

    #[test]
    fn root_in_disguise() {
        for path in ["/", "//", "/.", "/..", "/a/..", "/./"] {
            assert!(is_root(path), "{path}");
        }
        for path in ["", ".", "a", "/a", "/a/../b"] {
            assert!(!is_root(path), "{path}");
        }
    }
}
