//! What build arguments and the first lines of a file say about the build itself: `SOURCE_DATE_EPOCH`, `BUILDKIT_…`, and the
//! language the file is written in.

use std::borrow::Cow;

use crate::dockerfile::directive::detect_syntax;
use crate::dockerfile::suggest::did_you_mean;
use crate::dockerfile::{Diagnostic, Level, Span};
use crate::request::BuildRequest;

/// The host name of `RUN`.
pub(crate) const HOSTNAME: &str = "BUILDKIT_SANDBOX_HOSTNAME";
/// What goes before the ids of caches.
pub(crate) const CACHE_NAMESPACE: &str = "BUILDKIT_CACHE_MOUNT_NS";
/// Whether the image is a cache as well.
const INLINE_CACHE: &str = "BUILDKIT_INLINE_CACHE";
/// The language, whatever the file says.
const SYNTAX: &str = "BUILDKIT_SYNTAX";
/// The time that stands for "now".
pub(crate) const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// No kernel takes a longer one.
const LONGEST_HOSTNAME: usize = 63;

/// The language this crate reads, under the names its frontends have.
const FRONTENDS: [&str; 2] = ["dockerfile", "dockerfile-upstream"];

/// Refuses a file in another language than Dockerfile. Every version of that is read as the newest; nothing is pulled.
pub(crate) fn known_language(request: &BuildRequest) -> Result<(), Diagnostic> {
    let text = &request.dockerfile.text;
    let given = request.build_args.get(SYNTAX).filter(|given| !given.is_empty());
    let Some(syntax) = given.cloned().or_else(|| detect_syntax(text)) else { return Ok(()) };
    let (path, _) = syntax.split_once('@').unwrap_or((&syntax, ""));
    let last = path.rsplit('/').next().unwrap_or_default();
    let (name, _) = last.split_once(':').unwrap_or((last, ""));
    // As it is, and as mirrors have it.
    if FRONTENDS.contains(&name) || name == "dockerfile.v0" {
        return Ok(());
    }
    let title = format!("the language `{syntax}` is not known");
    let diagnostic = match text.find(&syntax).filter(|_| given.is_none()) {
        Some(start) => Diagnostic::error(title, Span::new(start, start + syntax.len())),
        None => Diagnostic::new(Level::Error, format!("{SYNTAX}: {title}")),
    };
    Err(diagnostic
        .note("Wharf reads Dockerfiles itself and runs no frontend images")
        .maybe_help(did_you_mean(name, FRONTENDS)))
}

/// The request with what build arguments say about it.
pub(crate) fn settle(request: &BuildRequest) -> Result<Cow<'_, BuildRequest>, Diagnostic> {
    let mut settled = Cow::Borrowed(request);
    if let Some(text) = request.build_args.get(EPOCH) {
        // Nothing, or the name of a stage: for now the time of day, as if it had not been given.
        let epoch = text.parse().ok();
        if text.is_empty() {
            settled.to_mut().build_args.remove(EPOCH);
        }
        if epoch != settled.source_date_epoch {
            settled.to_mut().source_date_epoch = epoch;
        }
    }
    if request.build_args.get(INLINE_CACHE).is_some_and(|value| is_true(value)) {
        settled.to_mut().inline_cache = true;
    }
    if let Some(name) = request.build_args.get(HOSTNAME) {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if name.len() > LONGEST_HOSTNAME || !name.chars().all(fits) {
            let title = format!("{HOSTNAME} is `{}`, which is no host name", name.escape_debug());
            return Err(Diagnostic::new(Level::Error, title));
        }
    }
    Ok(settled)
}

/// The stage whose source says what time it is, when the argument names one.
pub(crate) fn epoch_stage(request: &BuildRequest) -> Option<&str> {
    request.build_args.get(EPOCH).map(String::as_str).filter(|text| text.parse::<i64>().is_err())
}

/// The request with the time that its stage turned out to have.
pub(crate) fn set_epoch(request: &mut BuildRequest, epoch: Option<i64>) {
    request.source_date_epoch = epoch;
    match epoch {
        Some(seconds) => request.build_args.insert(EPOCH.to_owned(), seconds.to_string()),
        None => request.build_args.remove(EPOCH),
    };
}

/// Yes or no, in any of Docker's spellings; `None` for everything else.
pub fn truth(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// What counts as yes where arguments are switches.
pub fn is_true(value: &str) -> bool {
    truth(value) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::DockerfileText;

    fn request(text: &str, arguments: &[(&str, &str)]) -> BuildRequest {
        let mut request = BuildRequest::new(DockerfileText { name: "Dockerfile".to_owned(), text: text.to_owned() });
        request.build_args.extend(arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        request
    }

    #[test]
    fn p12_every_version_of_the_language_is_read() {
        for syntax in [
            "docker/dockerfile:1",
            "docker/dockerfile",
            "docker.io/docker/dockerfile:1.7-labs",
            "docker/dockerfile-upstream:master",
            "docker/dockerfile:1@sha256:0123",
            "registry.example:5000/mirror/dockerfile:1",
        ] {
            assert!(known_language(&request(&format!("# syntax={syntax}\nFROM x"), &[])).is_ok(), "{syntax}");
        }
        assert!(known_language(&request("# syntax=other/one\n", &[(SYNTAX, "dockerfile.v0")])).is_ok());
    }

    #[test]
    fn p12_other_languages_are_refused() {
        let error = known_language(&request("# syntax=r2d4/mockerfile:1\nFROM x", &[])).unwrap_err();
        assert_eq!(error.title, "the language `r2d4/mockerfile:1` is not known");
        assert_eq!(error.primary_span(), Some(Span::new(9, 26)));
        assert!(known_language(&request("{\"syntax\": \"a/b\"}", &[])).is_err());
        assert!(known_language(&request("FROM x", &[(SYNTAX, "a/b")])).is_err());
    }

    #[test]
    fn a9_the_argument_counts_and_not_the_environment() {
        let epoch = |arguments: &[(&str, &str)]| {
            let mut request = request("FROM x", arguments);
            request.source_date_epoch = Some(7);
            let settled = settle(&request).unwrap();
            (settled.source_date_epoch, epoch_stage(&settled).map(str::to_owned))
        };
        assert_eq!(epoch(&[]), (Some(7), None));
        assert_eq!(epoch(&[(EPOCH, "9")]), (Some(9), None));
        assert_eq!(epoch(&[(EPOCH, "")]), (None, None));
        assert_eq!(epoch(&[(EPOCH, "source")]), (None, Some("source".to_owned())));
    }

    #[test]
    fn a9_switches() {
        assert!(settle(&request("", &[(INLINE_CACHE, "1")])).unwrap().inline_cache);
        assert!(!settle(&request("", &[(INLINE_CACHE, "0")])).unwrap().inline_cache);
        for bad in ["a b", "a\n1.2.3.4 registry", &"x".repeat(64)] {
            assert!(settle(&request("", &[(HOSTNAME, bad)])).is_err(), "{bad}");
        }
    }
}
