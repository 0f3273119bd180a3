//! From a target to the command line of `wharf build`: a target is a build with its flags, and nothing more.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use wharf_builder::DockerfileText;
use wharf_builder::git::GitSource;

use super::config::Target;
use super::entries::EntryKind;
use super::paths::clean;
use super::settings::Settings;
use crate::args::{Build, BuildOptions, Call, CompressionName, LimitOptions, Taken};
use crate::failure::Failure;
use crate::programs::PolicyFlag;
use crate::requests::FilePlace;

/// What the command line says of all targets, and no target says of itself.
pub struct Flags<'f> {
    /// `--allow`, and what `--set` grants.
    pub allow: &'f [String],
    /// `--source-policy-file`
    pub source_policies: &'f [PathBuf],
    /// `--policy`, of which each holds for every target.
    pub policies: &'f [String],
    /// `--explain-cache`
    pub explain_cache: bool,
    /// `--jobs`
    pub jobs: Option<NonZeroUsize>,
    /// `--call`, with its format.
    pub call: Call,
    /// What `local` means among platforms.
    pub platform: &'f str,
}

/// A target as a build.
pub struct Piece {
    /// The build.
    pub command: Build,
    /// Where the file of its `--file` is.
    pub file: FilePlace,
    /// `dockerfile-inline`
    pub dockerfile: Option<DockerfileText>,
    /// Named contexts that are the results of other targets.
    pub needs: BTreeMap<String, String>,
}

/// Whether a context is fetched from somewhere.
pub fn remote(context: &str) -> bool {
    context.starts_with("http://") || context.starts_with("https://") || GitSource::parse(context).is_some()
}

/// A context as it is printed, and used.
pub fn context(text: &str) -> String {
    if remote(text) {
        return text.to_owned();
    }
    clean(text.strip_prefix("cwd://").unwrap_or(text))
}

/// Makes a build of a target.
pub fn piece(target: &Target, flags: &Flags<'_>) -> Result<Piece, Failure> {
    let settings = &target.settings;
    let own = target.own_context.as_ref().map(|path| path.display().to_string());
    let context = own.as_deref().or_else(|| settings.text("context")).unwrap_or(".");
    for (what, name) in [(context, "context"), (settings.text("dockerfile").unwrap_or_default(), "Dockerfile")] {
        if what == "-" {
            return Err(Failure::usage(format!("a target cannot take its {name} from standard input")));
        }
    }
    let (mut contexts, mut needs) = (Vec::new(), BTreeMap::new());
    for (name, value) in settings.map("contexts").into_iter().flatten() {
        match value.strip_prefix("target:") {
            Some(other) => drop(needs.insert(name.clone(), other.to_owned())),
            None => {
                let value = target.own_contexts.get(name).unwrap_or(value);
                contexts.push(format!("{name}={}", value.strip_prefix("cwd://").unwrap_or(value)));
            }
        }
    }
    let texts = |name: &str, kind| settings.entries(name).iter().map(|entry| entry.text(kind)).collect::<Vec<_>>();
    let (file, place) = file(settings, context);
    let options = BuildOptions {
        file,
        tags: if target.linked { Vec::new() } else { parsed("tags", settings.list("tags"))? },
        build_args: pairs(settings, "args"),
        target: settings.text("target").filter(|stage| !stage.is_empty()).map(str::to_owned),
        platforms: platforms(settings, flags.platform)?,
        no_cache: settings.flag("no-cache").unwrap_or(false),
        no_cache_filter: settings.list("no-cache-filter").to_vec(),
        explain_cache: flags.explain_cache,
        cache_from: texts("cache-from", EntryKind::Cache),
        cache_to: texts("cache-to", EntryKind::Cache),
        pull: settings.flag("pull").unwrap_or(false),
        contexts,
        secrets: texts("secret", EntryKind::Secret),
        ssh: texts("ssh", EntryKind::Ssh),
        source_policies: flags.source_policies.to_vec(),
        policies: policies(settings, flags.policies),
        allow: entitlements(settings, flags.allow)?,
        labels: pairs(settings, "labels"),
        annotations: settings.list("annotations").to_vec(),
        hosts: hosts(settings),
        network: settings.text("network").filter(|mode| !mode.is_empty()).unwrap_or("default").to_owned(),
        limits: LimitOptions {
            ulimits: settings.list("ulimits").to_vec(),
            shm_size: settings.text("shm-size").map(str::to_owned),
            resources: pairs(settings, "resources"),
            ..LimitOptions::default()
        },
        taken: Taken::default(),
        compression: CompressionName::Gzip,
        compression_level: None,
        jobs: flags.jobs,
    };
    let call = match settings.text("call") {
        _ if flags.call.question.is_some() => flags.call,
        None | Some("") => flags.call,
        Some(method) => method.parse().map_err(|reason| Failure::usage(format!("call {method}: {reason}")))?,
    };
    let command = Build {
        options,
        push: false,
        load: false,
        attest: texts("attest", EntryKind::Attest),
        provenance: None,
        sbom: None,
        outputs: texts("output", EntryKind::Output),
        check: false,
        call,
        iidfile: None,
        metadata_file: None,
        context: self::context(context),
    };
    let inline = settings.text("dockerfile-inline").filter(|text| !text.is_empty());
    let dockerfile = inline.map(|text| DockerfileText { name: "dockerfile-inline".to_owned(), text: text.to_owned() });
    Ok(Piece { command, file: place, dockerfile, needs })
}

/// The Dockerfile, which is in the context. The one with the common name is found there anyway.
fn file(settings: &Settings, context: &str) -> (Option<PathBuf>, FilePlace) {
    let file = settings.text("dockerfile").unwrap_or("Dockerfile");
    if let Some(local) = file.strip_prefix("cwd://") {
        return (Some(PathBuf::from(clean(local))), FilePlace::Here);
    }
    let file = clean(file);
    match (file.as_str(), remote(context)) {
        ("Dockerfile", _) => (None, FilePlace::Context),
        (file, true) => (Some(PathBuf::from(file)), FilePlace::Context),
        (file, false) => (Some(Path::new(&self::context(context)).join(file)), FilePlace::Here),
    }
}

fn parsed<T: FromStr>(name: &str, texts: &[String]) -> Result<Vec<T>, Failure>
where
    T::Err: std::error::Error + 'static,
{
    let one = |text: &String| text.parse().map_err(|error| Failure::usage(format!("{name}: `{text}`")).because(error));
    texts.iter().map(one).collect()
}

fn platforms<T: FromStr>(settings: &Settings, local: &str) -> Result<Vec<T>, Failure>
where
    T::Err: std::error::Error + 'static,
{
    let texts = settings.list("platforms").iter().flat_map(|text| text.split(','));
    let texts: Vec<String> = texts.map(|text| if text == "local" { local } else { text }.trim().to_owned()).collect();
    parsed("platforms", &texts)
}

/// A target's policies, and what is said of all. To have none is to have none of the target's, either.
fn policies(settings: &Settings, all: &[String]) -> Vec<String> {
    let disabled = |text: &&String| PolicyFlag::parse(text).is_ok_and(|flag| flag.disabled);
    match all.iter().find(disabled) {
        Some(disabled) => vec![disabled.clone()],
        None => settings.list("policy").iter().chain(all).cloned().collect(),
    }
}

fn pairs(settings: &Settings, name: &str) -> Vec<String> {
    settings.map(name).into_iter().flatten().map(|(name, value)| format!("{name}={value}")).collect()
}

/// A host may have several addresses.
fn hosts(settings: &Settings) -> Vec<String> {
    let all = settings.map("extra-hosts").into_iter().flatten();
    all.flat_map(|(name, value)| value.split(',').map(move |address| format!("{name}={address}"))).collect()
}

/// What a target asks for has to be granted by whoever runs it: the file may be somebody else's.
fn entitlements(settings: &Settings, granted: &[String]) -> Result<Vec<String>, Failure> {
    let asked = settings.list("entitlements");
    for one in asked {
        match one.as_str() {
            "network.host" => {}
            "security.insecure" if granted.contains(one) => {}
            "security.insecure" => {
                return Err(Failure::usage(format!("it asks for {one}, which is as good as root"))
                    .hint(format!("grant it if you trust the Dockerfile: --allow {one}")));
            }
            other => {
                return Err(Failure::usage(format!("there is nothing called {other} to ask for"))
                    .hint("entitlements are security.insecure and network.host"));
            }
        }
    }
    Ok(asked.to_vec())
}
