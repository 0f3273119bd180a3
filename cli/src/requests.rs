//! From the options of `build` and `up` to a [`BuildRequest`].

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use wharf_builder::dockerfile::suggest::did_you_mean;
use wharf_builder::dockerfile::{NetworkMode, parse};
use wharf_builder::layer::LayerFormat;
use wharf_builder::policy::{Circumstances, Policies, PolicyFiles};
use wharf_builder::settings::is_true;
use wharf_builder::{
    BuildRequest, CacheUse, ContextSource, DockerfileText, Entitlement, ImageName, LayerCompression, SecretValue,
};
use wharf_spec::Platform;

use crate::agents::{self, Agents, OwnAgent};

use crate::args::{BuildOptions, CompressionName};
use crate::builds::{pairs, read_text};
use crate::caches::{CachePlace, Mounts, flags};
use crate::contexts::{self, Fetching, MAX_DOCKERFILE, MainContext, Named};
use crate::csv;
use crate::failure::Failure;
use crate::limits;
use crate::programs::{Around, Wanted, refused};
use crate::session::Session;
use crate::stores::own_place;

/// A named context that is always there: a directory with this very program, statically linked, as `wharf`. A
/// Dockerfile that starts `FROM scratch` can run it without downloading anything.
const SELF: &str = "wharf-self";

/// Whether the contexts that are repositories keep `.git`.
const KEEP_GIT_DIR: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// What is to be built, and what must stay alive while it is.
pub struct Prepared {
    /// The request.
    pub request: BuildRequest,
    _own: Option<OwnProgram>,
    _main: MainContext,
    _named: Named,
    _agents: Vec<OwnAgent>,
}

/// Where the file of `--file` is, unless its path is absolute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilePlace {
    /// Relative to where the user is, or else to the context.
    #[default]
    Anywhere,
    /// Relative to where the user is.
    Here,
    /// In the context.
    Context,
}

/// What a build gets that no option says.
#[derive(Default)]
pub struct Given {
    /// The Dockerfile itself.
    pub dockerfile: Option<DockerfileText>,
    /// Where `--file` is.
    pub file: FilePlace,
    /// Images that were just made, as named contexts.
    pub images: BTreeMap<String, ImageName>,
}

/// The directory behind [`SELF`]; removed when dropped.
struct OwnProgram(PathBuf);

impl Drop for OwnProgram {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes a request of the options. `scratch` is a directory for what lives as long as the build.
pub async fn prepare(
    session: &Session,
    options: &BuildOptions,
    context: &str,
    scratch: &Path,
    given: Given,
) -> Result<Prepared, Failure> {
    if context == "-" && options.file.as_ref().is_some_and(|file| file.as_os_str() == "-") {
        return Err(Failure::usage("standard input cannot be both the context and the Dockerfile"));
    }
    let voice = session.voice();
    options.taken.unmet().iter().for_each(|text| voice.say(&format!("warning: {text}")));
    let Agents { sockets: ssh, own: agents } = agents::of(session, &options.ssh, scratch)?;
    let build_args = build_args(session, &options.build_args)?;
    let keep_git_dir = build_args.get(KEEP_GIT_DIR).is_some_and(|value| is_true(value));
    let agent = ssh.get("default").map(PathBuf::as_path);
    let rules = policies(session, &options.source_policies)?;
    let fetching = Fetching { session, agent, scratch, policies: &rules, keep_git_dir };
    let judged = Judged { options, context, place: given.file, written: given.dockerfile.is_some() };
    let (mut main, policies) = judged.main(&fetching).await?;
    let fetching = Fetching { session, agent, scratch, policies: &policies, keep_git_dir };
    let directory = main.directory.clone();
    let path = dockerfile_path(options, directory.as_deref(), given.file);
    let dockerfile = match (given.dockerfile, main.dockerfile.take()) {
        (Some(text), _) => text,
        (None, Some(text)) if options.file.is_none() => text,
        (None, _) => dockerfile(options, path.as_deref())?,
    };
    let mut named = contexts::named(&fetching, &options.contexts).await?;
    named.sources.extend(given.images.into_iter().map(|(name, image)| (name, ContextSource::Image(image))));
    let mut own = None;
    if dockerfile.text.contains(SELF) && !named.sources.contains_key(SELF) {
        let program = OwnProgram::make(scratch)?;
        named.sources.insert(SELF.to_owned(), ContextSource::Directory(program.0.clone()));
        own = Some(program);
    }
    let ignore = path.map(ignore_beside).transpose()?.flatten();
    let mut request = BuildRequest::new(dockerfile);
    request.context = directory.map(ContextSource::Directory);
    request.ignore = ignore;
    request.named_contexts = std::mem::take(&mut named.sources);
    request.build_args = build_args;
    request.target.clone_from(&options.target);
    if let Some(platform) = options.platforms.first() {
        request.platform = platform.clone();
    }
    request.cache = match (options.no_cache, options.no_cache_filter.as_slice()) {
        (true, _) => CacheUse::Nothing,
        (false, []) => CacheUse::All,
        (false, stages) => CacheUse::Except(stages.to_vec()),
    };
    request.labels = labels(&options.labels)?;
    request.secrets = secrets(session, &options.secrets)?;
    request.ssh = ssh;
    request.insecure = insecure(&options.allow)?;
    request.extra_hosts = hosts(&options.hosts)?;
    request.limits = limits::of(&options.limits)?;
    request.network = match options.network.as_str() {
        "default" | "bridge" => NetworkMode::Default,
        "host" => NetworkMode::Host,
        "none" => NetworkMode::None,
        other => return Err(Failure::usage(format!("--network {other}: it is default, host or none"))),
    };
    request.compression = compression(options)?;
    request.explain_cache = options.explain_cache;
    request.policies = policies;
    let (from, to) = (flags(&options.cache_from)?, flags(&options.cache_to)?);
    request.inline_cache = to.iter().any(|flag| flag.place == CachePlace::Inline);
    request.mounts.import = from.iter().any(|flag| flag.mounts == Mounts::Shared);
    request.mounts.export = to.iter().any(|flag| flag.mounts == Mounts::Shared);
    settle_epoch(session, &mut request, (main.time, &named))?;
    Ok(Prepared { request, _own: own, _main: main, _named: named, _agents: agents })
}

fn compression(options: &BuildOptions) -> Result<LayerCompression, Failure> {
    let level = options.compression_level;
    let (format, levels) = match options.compression {
        CompressionName::Gzip => (LayerFormat::Gzip, 0..=9),
        CompressionName::Estargz => (LayerFormat::Estargz, 0..=9),
        CompressionName::Zstd => (LayerFormat::Zstd, 1..=22),
        CompressionName::ZstdChunked => (LayerFormat::ZstdChunked, 1..=22),
        CompressionName::Uncompressed => (LayerFormat::Uncompressed, 0..=0),
    };
    match level {
        Some(level) if !levels.contains(&level) => {
            let (least, most) = levels.into_inner();
            Err(Failure::usage(format!("--compression-level {level}: it is {least} to {most} for {format:?}")))
        }
        Some(_) | None => Ok(LayerCompression { format, level }),
    }
}

/// Where the Dockerfile is, or would be; nowhere for standard input, or without a context.
fn dockerfile_path(options: &BuildOptions, context: Option<&Path>, place: FilePlace) -> Option<PathBuf> {
    let inside = |path: &Path| context.map_or_else(|| path.to_path_buf(), |context| context.join(path));
    match &options.file {
        Some(path) if path.as_os_str() == "-" => None,
        // As Docker does: relative to where the user is, then to the context.
        Some(path) => Some(match place {
            FilePlace::Anywhere if !path.exists() => inside(path),
            FilePlace::Anywhere | FilePlace::Here => path.clone(),
            FilePlace::Context => inside(path),
        }),
        None => context.map(|context| context.join("Dockerfile")),
    }
}

fn dockerfile(options: &BuildOptions, path: Option<&Path>) -> Result<DockerfileText, Failure> {
    match (&options.file, path) {
        (Some(_), None) => {
            let mut text = String::new();
            let read = std::io::stdin().take(MAX_DOCKERFILE).read_to_string(&mut text);
            read.map_err(|error| Failure::new("could not read a Dockerfile from standard input").because(error))?;
            Ok(DockerfileText { name: "stdin".to_owned(), text })
        }
        (Some(_), Some(path)) => {
            Ok(DockerfileText { text: read_text(path, "the Dockerfile")?, name: path.display().to_string() })
        }
        (None, path) => {
            let text = read_text(path.unwrap_or(Path::new("Dockerfile")), "the Dockerfile")
                .map_err(|failure| failure.hint("name another one with -f FILE"))?;
            Ok(DockerfileText { text, name: "Dockerfile".to_owned() })
        }
    }
}

/// The ignore file of this Dockerfile alone, if there is one.
fn ignore_beside(dockerfile: PathBuf) -> Result<Option<String>, Failure> {
    let mut path = dockerfile.into_os_string();
    path.push(".dockerignore");
    let path = Path::new(&path);
    path.is_file().then(|| read_text(path, "the ignore file")).transpose()
}

/// `--label`: without a value it is empty, as Docker has it.
fn labels(texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let whole = texts.iter().map(|text| if text.contains('=') { text.clone() } else { format!("{text}=") });
    pairs("--label", &whole.collect::<Vec<_>>())
}

/// `--allow`
fn insecure(texts: &[String]) -> Result<Entitlement, Failure> {
    let mut granted = Entitlement::Refused;
    for text in texts {
        match text.as_str() {
            "security.insecure" => granted = Entitlement::Granted,
            // Steps may use the host's network anyway, unless they are told otherwise.
            "network.host" => {}
            other => {
                return Err(Failure::usage(format!("--allow {other}: it is security.insecure or network.host")));
            }
        }
    }
    Ok(granted)
}

fn build_args(session: &Session, texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut arguments: BTreeMap<String, String> = session.environment.proxies().into_iter().collect();
    for text in texts {
        match text.split_once('=') {
            Some(("", _)) => return Err(Failure::usage(format!("--build-arg {text}: write NAME=VALUE"))),
            Some((name, value)) => {
                arguments.insert(name.to_owned(), value.to_owned());
            }
            // Docker's rule: a bare name takes its value from the environment, and is unset when that has none.
            None => {
                if let Some(value) = session.environment.user_variable(text) {
                    arguments.insert(text.clone(), value.to_owned());
                }
            }
        }
    }
    Ok(arguments)
}

fn secrets(session: &Session, texts: &[String]) -> Result<BTreeMap<String, SecretValue>, Failure> {
    const FIELDS: [&str; 6] = ["type", "id", "src", "source", "file", "env"];
    const HOW: &str = "--secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE";
    let secret = |text: &String| {
        let wrong = |what: String| Failure::usage(format!("--secret {text}: {what}")).hint(HOW);
        let read = csv::fields(text).ok_or_else(|| wrong("quotes begin and end a whole field".to_owned()))?;
        if let Some((unknown, _)) = read.iter().find(|(name, _)| !FIELDS.contains(&name.as_str())) {
            let failure = wrong(format!("`{unknown}` is not known"));
            return Err(did_you_mean(unknown, FIELDS).into_iter().fold(failure, Failure::hint));
        }
        let fields: BTreeMap<&str, &str> =
            read.iter().map(|(name, value)| (name.as_str(), value.as_deref().unwrap_or_default())).collect();
        let id = *fields.get("id").ok_or_else(|| wrong("id is missing".to_owned()))?;
        let kind = fields.get("type").copied().unwrap_or_default();
        if !matches!(kind, "" | "file" | "env") {
            return Err(wrong(format!("type is file or env, not {kind}")));
        }
        let file = ["src", "source", "file"].iter().find_map(|name| fields.get(name));
        let value = match (file.filter(|_| kind != "env"), fields.get("env").or(file)) {
            (Some(path), _) => std::fs::read(path)
                .map_err(|error| Failure::new(format!("could not read the secret {id} from {path}")).because(error))?,
            // As Docker has it: a file of the secret's own name, where there is no variable.
            (None, None) if session.environment.user_variable(id).is_none() && Path::new(id).is_file() => {
                std::fs::read(id)
                    .map_err(|error| Failure::new(format!("could not read the secret {id}")).because(error))?
            }
            (None, variable) => {
                let variable = variable.copied().unwrap_or(id);
                let value = session.environment.user_variable(variable);
                value.ok_or_else(|| Failure::new(format!("the secret {id}: there is no variable {variable}")))?.into()
            }
        };
        Ok((id.to_owned(), SecretValue::new(value)))
    };
    texts.iter().map(secret).collect()
}

fn hosts(texts: &[String]) -> Result<Vec<(String, IpAddr)>, Failure> {
    // Steps are on the host's network: it is where they are themselves.
    let address = |text: &str| match text {
        "host-gateway" => Some(IpAddr::from([127, 0, 0, 1])),
        text => text.trim_matches(['[', ']']).parse().ok(),
    };
    let host = |text: &String| {
        let pair = text.split_once(['=', ':']).and_then(|(name, text)| Some((name.to_owned(), address(text)?)));
        pair.ok_or_else(|| Failure::usage(format!("--add-host {text}: write HOST:IP")))
    };
    texts.iter().map(host).collect()
}

/// `SOURCE_DATE_EPOCH`: a number, or the name of a context whose time it is (`context` is the main one), or of a stage, which
/// the build itself looks at. A context without a time leaves it unset, as `BuildKit` has it. An argument counts before the
/// environment.
fn settle_epoch(
    session: &Session,
    request: &mut BuildRequest,
    (main, named): (Option<i64>, &Named),
) -> Result<(), Failure> {
    let given = request.build_args.get(EPOCH).map(String::as_str);
    let Some(text) = given.or_else(|| session.environment.source_date_epoch()) else { return Ok(()) };
    let known = |name: &String| name.eq_ignore_ascii_case(text);
    let for_this = |name: &String| {
        name.split_once("::").is_some_and(|(name, platform)| {
            name.eq_ignore_ascii_case(text) && platform.parse().is_ok_and(|one: Platform| one == request.platform)
        })
    };
    request.source_date_epoch = match text.parse() {
        Ok(seconds) => Some(seconds),
        Err(_) if text.is_empty() => None,
        Err(_) if text == "context" => main,
        Err(_) if request.named_contexts.keys().any(for_this) => {
            let name = request.named_contexts.keys().find(|name| for_this(name)).map(|name| name.to_lowercase());
            name.and_then(|name| named.times.get(&name).copied())
        }
        Err(_) if request.named_contexts.keys().any(known) => named.times.get(&text.to_lowercase()).copied(),
        Err(_) if has_stage(&request.dockerfile.text, text) => {
            let stage = text.to_owned();
            request.build_args.insert(EPOCH.to_owned(), stage);
            return Ok(());
        }
        Err(_) => {
            return Err(Failure::usage(format!("{EPOCH} is `{text}`, not a number of seconds")).hint(
                "it may also be `context`, the name of a --build-context, or that of a stage that ADDs one source",
            ));
        }
    };
    if given.is_some() {
        let settled = request.source_date_epoch.map(|seconds| seconds.to_string()).unwrap_or_default();
        request.build_args.insert(EPOCH.to_owned(), settled);
    }
    Ok(())
}

/// A build as far as its policies are concerned.
struct Judged<'a> {
    options: &'a BuildOptions,
    context: &'a str,
    place: FilePlace,
    /// Whether the Dockerfile is no file.
    written: bool,
}

impl Judged<'_> {
    /// The main context, and all policies, which allow it. Those that lie in a context that has to be fetched can be asked about
    /// it only then.
    async fn main(&self, fetching: &Fetching<'_>) -> Result<(MainContext, Policies), Failure> {
        let (session, rules) = (fetching.session, fetching.policies);
        let mut wanted = Wanted::of(&self.options.policies)?;
        let directory = contexts::is_directory(self.context)?.then(|| Path::new(self.context));
        let path = self.dockerfile(directory);
        let around = self.around(directory, path.as_deref());
        let early = if directory.is_some() { std::mem::take(&mut wanted) } else { wanted.without_context() };
        let mut policies = rules.clone();
        early.add_to(session, &mut policies, &around)?;
        if directory.is_some() || self.options.file.is_some() || self.written {
            policies.dockerfile().map_err(|error| refused("the Dockerfile may not be used".to_owned(), error))?;
        }
        let main = contexts::main(&Fetching { policies: &policies, ..*fetching }, self.context).await?;
        let path = self.dockerfile(main.directory.as_deref());
        let around = self.around(main.directory.as_deref(), path.as_deref());
        let mut late = rules.clone();
        wanted.add_to(session, &mut late, &around)?;
        contexts::ask(&late, self.context)?;
        wanted.add_to(session, &mut policies, &around)?;
        Ok((main, policies))
    }

    fn dockerfile(&self, directory: Option<&Path>) -> Option<PathBuf> {
        if self.written { None } else { dockerfile_path(self.options, directory, self.place) }
    }

    fn around<'p>(&self, directory: Option<&Path>, dockerfile: Option<&'p Path>) -> Around<'p> {
        let options = self.options;
        let name = dockerfile.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let given = |texts: &[String]| {
            let pairs = texts.iter().filter_map(|text| text.split_once('='));
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let circumstances = Circumstances {
            arguments: given(&options.build_args),
            labels: given(&options.labels),
            filename: name.unwrap_or_else(|| "Dockerfile".to_owned()),
            target: options.target.clone(),
        };
        let files = PolicyFiles { context: directory.map(Path::to_path_buf), here: PathBuf::from(".") };
        Around { files, dockerfile, circumstances }
    }
}

/// The rules of these files, or of the variable's.
pub fn policies(session: &Session, files: &[PathBuf]) -> Result<Policies, Failure> {
    let mut files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    if files.is_empty() {
        files.extend(session.environment.source_policy().map(Path::new));
    }
    let mut policies = Policies::default();
    for file in files {
        policies.add(&read_text(file, "the source policy")?).map_err(|error| {
            Failure::usage(format!("the source policy {} cannot be used", file.display())).because(error)
        })?;
    }
    Ok(policies)
}

/// Whether the Dockerfile has a stage of this name. One that cannot be read is complained of by the build.
fn has_stage(dockerfile: &str, name: &str) -> bool {
    let stages = parse(dockerfile).map(|file| file.stages).unwrap_or_default();
    stages.iter().any(|stage| stage.name().is_some_and(|known| known.eq_ignore_ascii_case(name)))
}

impl OwnProgram {
    /// A copy and not a link: it may lie on another file system, and its owner and mode are to be the image's.
    fn make(scratch: &Path) -> Result<Self, Failure> {
        let directory = own_place(scratch, "self");
        let failed = |error: std::io::Error| Failure::new("could not offer this program to the build").because(error);
        std::fs::create_dir_all(&directory).map_err(failed)?;
        let program = Self(directory);
        let copy = program.0.join("wharf");
        std::fs::copy("/proc/self/exe", &copy).map_err(failed)?;
        // The program's own time: a build of the same program hits the cache and gives the same image.
        let modified = std::fs::metadata("/proc/self/exe").and_then(|data| data.modified()).map_err(failed)?;
        let file = std::fs::File::options().write(true).open(&copy).map_err(failed)?;
        file.set_modified(modified).map_err(failed)?;
        Ok(program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Environment;

    #[test]
    fn arguments_without_a_value_come_from_the_environment() {
        let session = Session::for_tests(Environment::of([("FROM_ENV", "x")]), true);
        let texts = ["A=1".to_owned(), "FROM_ENV".to_owned(), "NOWHERE".to_owned(), "E=".to_owned()];
        let arguments = build_args(&session, &texts).unwrap();
        let expected =
            [("A", "1"), ("E", ""), ("FROM_ENV", "x")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(arguments, expected.into());
    }

    #[test]
    fn hosts_read_in_both_spellings() {
        let texts = ["a:10.0.0.1".to_owned(), "b=::1".to_owned()];
        assert_eq!(hosts(&texts).unwrap().len(), 2);
        assert!(hosts(&["c".to_owned()]).is_err());
        let gateway = hosts(&["host.docker.internal:host-gateway".to_owned()]).unwrap();
        assert_eq!(gateway, [("host.docker.internal".to_owned(), IpAddr::from([127, 0, 0, 1]))]);
    }

    #[test]
    fn labels_may_be_empty() {
        let read = labels(&["a".to_owned(), "b=c=d".to_owned()]).unwrap();
        assert_eq!(read, [("a", ""), ("b", "c=d")].map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn secrets_read_as_docker_writes_them() {
        let session = Session::for_tests(Environment::of([("KEY", "of-the-environment")]), true);
        let read = |text: &str| secrets(&session, &[text.to_owned()]);
        for text in ["id=KEY", "id=k,env=KEY", "type=env,id=k,src=KEY", "type=env,ID=k,env=KEY"] {
            assert_eq!(read(text).unwrap().values().next(), Some(&SecretValue::new("of-the-environment")), "{text}");
        }
        for (text, expected) in [
            ("id=k,scr=/key", "did you mean `src`?"),
            ("src=/key", "id is missing"),
            ("type=vault,id=k", "file or env"),
            ("id=k,env=NOWHERE", "there is no variable NOWHERE"),
            ("id=k,src=/nowhere", "could not read the secret k"),
        ] {
            let failure = read(text).expect_err(text).render(false);
            assert!(failure.contains(expected), "{text}: {failure}");
        }
    }
}
