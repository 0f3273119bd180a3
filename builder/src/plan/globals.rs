//! The global scope: what `FROM` lines and the defaults of global arguments see.
//!
//! Platform arguments come first (any of them can be overridden by `--build-arg`), then the `ARG`s before the first
//! `FROM`, left to right. Stages see none of it until they declare it.

use wharf_spec::Platform;

use super::env::Env;
use crate::dockerfile::expand::{Expansion, expand};
use crate::dockerfile::{ArgInstruction, Diagnostic, Escape, Statement, Word};
use crate::request::BuildRequest;

/// Proxy settings that `RUN` gets without `ARG`: not part of keys or history.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// Arguments that configure the build itself and are never part of a `RUN`'s environment.
pub(super) const NOT_IN_ENVIRONMENT: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// The global scope of one build.
pub(super) fn scope(
    request: &BuildRequest,
    args: &[Statement<ArgInstruction>],
    escape: Escape,
    target: &str,
) -> Result<Env, Diagnostic> {
    let mut scope = Env::default();
    for (prefix, platform) in [("BUILD", &request.build_platform), ("TARGET", &request.platform)] {
        for (suffix, value) in platform_parts(platform) {
            set(&mut scope, request, &format!("{prefix}{suffix}"), &value);
        }
    }
    set(&mut scope, request, "TARGETSTAGE", if target.is_empty() { "default" } else { target });
    if let Some(epoch) = request.source_date_epoch {
        set(&mut scope, request, "SOURCE_DATE_EPOCH", &epoch.to_string());
    }
    for declaration in args.iter().flat_map(|statement| &statement.instruction.args) {
        let name = declaration.name.as_str();
        let value = match (request.build_args.get(name), &declaration.default) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(default)) => Some(expand_in(default, escape, &scope)?.value),
            (None, None) => None,
        };
        if let Some(value) = value {
            scope.set(name, &value);
        }
    }
    Ok(scope)
}

fn set(scope: &mut Env, request: &BuildRequest, name: &str, value: &str) {
    scope.set(name, request.build_args.get(name).map_or(value, String::as_str));
}

fn platform_parts(platform: &Platform) -> [(&'static str, String); 5] {
    [
        ("PLATFORM", platform.to_string()),
        ("OS", platform.os.clone()),
        ("OSVERSION", platform.os_version.clone().unwrap_or_default()),
        ("ARCH", platform.architecture.clone()),
        ("VARIANT", platform.variant.clone().unwrap_or_default()),
    ]
}

/// Expands a word with nothing but `scope`.
pub(super) fn expand_in(word: &Word, escape: Escape, scope: &Env) -> Result<Expansion, Diagnostic> {
    Ok(expand(word, escape, &|name| scope.get(name).map(str::to_owned))?)
}

/// The proxy settings among the build arguments, under both their names as programs look for either.
pub(crate) fn proxies(request: &BuildRequest) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for name in PROXIES {
        let given =
            request.build_args.iter().rfind(|(given, value)| given.eq_ignore_ascii_case(name) && !value.is_empty());
        if let Some((_, value)) = given {
            found.push((name.to_owned(), value.clone()));
            found.push((name.to_ascii_lowercase(), value.clone()));
        }
    }
    found
}

/// Whether `--build-arg name` needs no `ARG` to be of use.
pub(super) fn is_predefined(name: &str) -> bool {
    PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
        || name.starts_with("BUILDKIT_")
        || name == "SOURCE_DATE_EPOCH"
        || name
            .strip_prefix("BUILD")
            .or_else(|| name.strip_prefix("TARGET"))
            .is_some_and(|part| matches!(part, "PLATFORM" | "OS" | "OSVERSION" | "ARCH" | "VARIANT" | "STAGE"))
}
