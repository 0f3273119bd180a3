//! `wharf bake`

mod ask;
mod build;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use wharf_builder::DockerfileText;
use wharf_builder::settings::truth;
use wharf_spec::Platform;

use crate::args::{Bake, BakeList, Listing, Question};
use crate::bake::{
    self, BakeFile, Beside, Complaint, Elsewhere, Flags, Loaded, Ordered, Outside, Overrides, Selection,
};
use crate::contexts::{self, Fetching, MainContext};
use crate::failure::Failure;
use crate::output;
use crate::programs::{PolicyFlag, Wanted};
use crate::requests::policies;
use crate::session::Session;
use crate::stores::OpenStore;

/// Reads the definition, and builds, prints or lists its targets.
pub async fn run(session: &Session, command: Bake) -> Result<(), Failure> {
    check_policies(&command.policies)?;
    check_grants(&command.allow)?;
    let words = Words::of(&command.targets);
    let fetched = match words.url {
        Some(url) => Some(fetch(session, &command, url).await?),
        None => None,
    };
    let mut files = files(session, &command, fetched.as_ref())?;
    let beside = match &fetched {
        Some(fetched) => Beside { directory: fetched.elsewhere.directory.clone(), confined: true },
        None => Beside { directory: Some(PathBuf::from(".")), confined: false },
    };
    let definition = Outer::of(session, &command, words.context)?;
    let loaded = definition.load((&mut files, &beside));
    let refused = |complaint: Box<Complaint>| complaint.failure(&files, session.color);
    let mut loaded = loaded.map_err(refused)?;
    loaded.config.elsewhere = fetched.is_some();
    if let Some(listing) = command.list {
        return list(&loaded, listing);
    }
    let mut overrides =
        Overrides::parse(&settings(&command), &loaded.config.targets, &|name| definition.variable(name))
            .map_err(refused)?;
    let mut selection = Selection::of(&loaded.config, &words.targets, &mut overrides).map_err(refused)?;
    if let Some(fetched) = &fetched {
        fetched.elsewhere.settle(&mut selection)?;
    }
    if let Some(epoch) = session.environment.source_date_epoch() {
        selection.set_argument("SOURCE_DATE_EPOCH", epoch);
    }
    if command.print {
        return output::line(&selection.json().pretty());
    }
    let allow = [command.allow.as_slice(), overrides.granted.as_slice()].concat();
    let flags = Flags {
        allow: &allow,
        source_policies: &command.source_policies,
        policies: &command.policies,
        explain_cache: command.explain_cache,
        jobs: command.jobs,
        call: command.asked(),
        platform: &definition.platform,
    };
    let order = selection.order();
    let mut pieces = Vec::new();
    for target in order {
        let wrong = |failure: Failure| failure.of(&format!("target {}", target.name));
        if fetched.is_some() {
            bake::check_files(target, &command.allow).map_err(wrong)?;
        }
        let piece = bake::piece(target, &flags).map_err(wrong)?;
        pieces.push((target, piece));
    }
    if command.call.json && command.asked().question.is_some() {
        return Box::pin(ask::answer(session, &selection, pieces)).await;
    }
    Box::pin(build::build(session, &command, pieces)).await
}

/// What the command line names: perhaps where the definition is and what its targets' main context is, then targets.
struct Words<'w> {
    url: Option<&'w str>,
    context: &'w str,
    targets: Vec<String>,
}

impl<'w> Words<'w> {
    fn of(words: &'w [String]) -> Self {
        let (url, words) = match words.split_first() {
            Some((first, rest)) if bake::remote(first) => (Some(first.as_str()), rest),
            Some(_) | None => (None, words),
        };
        let (context, words) = match words.split_first() {
            Some((second, rest)) if url.is_some() && bake::remote(second) => (second.as_str(), rest),
            Some(_) | None => ("cwd://", words),
        };
        let targets = if words.is_empty() { vec!["default".to_owned()] } else { words.to_vec() };
        Self { url, context, targets }
    }
}

/// A definition that was fetched, and what must stay alive as long as it is used.
struct Fetched {
    elsewhere: Elsewhere,
    /// The definition, where it is one file alone.
    alone: Option<DockerfileText>,
    _main: MainContext,
}

async fn fetch(session: &Session, command: &Bake, url: &str) -> Result<Fetched, Failure> {
    let scratch = OpenStore::open(session).await?.scratch()?;
    let policies = policies(session, &command.source_policies)?;
    let agent = session.environment.ssh_agent().map(Path::new);
    let fetching = Fetching { session, agent, scratch: &scratch, policies: &policies, keep_git_dir: false };
    let mut main = contexts::main(&fetching, url).await?;
    let elsewhere = Elsewhere { url: url.to_owned(), directory: main.directory.clone() };
    Ok(Fetched { elsewhere, alone: main.dockerfile.take(), _main: main })
}

fn files(session: &Session, command: &Bake, fetched: Option<&Fetched>) -> Result<Vec<BakeFile>, Failure> {
    let named = if command.files.is_empty() { session.environment.bake_files() } else { command.files.clone() };
    let place = fetched.and_then(|fetched| fetched.elsewhere.directory.as_deref()).unwrap_or(Path::new(""));
    let Some(alone) = fetched.and_then(|fetched| fetched.alone.as_ref()) else { return bake::read(&named, place) };
    let mut files = vec![BakeFile { name: alone.name.clone(), text: alone.text.clone() }];
    if !named.is_empty() {
        files.extend(bake::read(&named, place)?);
    }
    Ok(files)
}

/// What variables mean outside the files.
struct Outer {
    builtin: BTreeMap<String, String>,
    set: HashMap<String, String>,
    environment: Option<crate::env::Environment>,
    dotenv: BTreeMap<String, String>,
    platform: String,
}

impl Outer {
    fn of(session: &Session, command: &Bake, context: &str) -> Result<Self, Failure> {
        let platform = Platform::host().to_string();
        let builtin = [("BAKE_CMD_CONTEXT", context), ("BAKE_LOCAL_PLATFORM", platform.as_str())];
        let builtin = builtin.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let pair = |text: &String| match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            Some(_) | None => Err(Failure::usage(format!("--var {text}: write NAME=VALUE"))),
        };
        let set = command.vars.iter().map(pair).collect::<Result<_, _>>()?;
        let environment = (!session.environment.bake_ignores_environment()).then(|| session.environment.clone());
        let text = match std::fs::read_to_string(".env") {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::IsADirectory) => {
                String::new()
            }
            Err(error) => return Err(Failure::new("could not read .env").because(error)),
        };
        let mut definition = Self { builtin, set, environment, dotenv: BTreeMap::new(), platform };
        definition.dotenv = bake::dotenv(&text, &|name| definition.given(name));
        Ok(definition)
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.environment.as_ref().and_then(|environment| environment.user_variable(name)).map(str::to_owned)
    }

    fn given(&self, name: &str) -> Option<String> {
        self.set.get(name).cloned().or_else(|| self.variable(name))
    }

    fn load(&self, files: (&mut Vec<BakeFile>, &Beside)) -> bake::Result<Loaded> {
        let lookup = |name: &str| self.given(name);
        let outside = Outside { lookup: &lookup, builtin: self.builtin.clone() };
        bake::load(files, &outside, &|name| self.given(name).or_else(|| self.dotenv.get(name).cloned()))
    }
}

/// What is said of all targets names no policy: which there are is the definition's business.
fn check_policies(texts: &[String]) -> Result<(), Failure> {
    for text in texts {
        let wrong = |reason: String| Failure::usage(format!("--policy {text}: {reason}"));
        let flag = PolicyFlag::parse(text).map_err(wrong)?;
        if !flag.files.is_empty() || flag.reset {
            return Err(wrong("the policies of targets are in the definition".to_owned())
                .hint("add one to all: --set '*.policy+=filename=FILE'"));
        }
    }
    Wanted::of(texts).map(drop)
}

/// What other flags mean in the words of `--set`.
fn settings(command: &Bake) -> Vec<String> {
    let mut all = command.set.clone();
    let canonical = |kind: &str, text: &str| match truth(text) {
        Some(true) => format!("*.attest=type={kind}"),
        Some(false) => format!("*.attest=type={kind},disabled=true"),
        None => format!("*.attest=type={kind},{text}"),
    };
    if command.push {
        all.push("*.push=true".to_owned());
    }
    if command.load {
        all.push("*.load=true".to_owned());
    }
    match command.asked().question {
        None => {}
        Some(Question::Check) => all.push("*.call=lint".to_owned()),
        Some(Question::Outline) => all.push("*.call=outline".to_owned()),
        Some(Question::Targets) => all.push("*.call=targets".to_owned()),
    }
    all.extend(command.no_cache.map(|on| format!("*.no-cache={on}")));
    all.extend(command.pull.map(|on| format!("*.pull={on}")));
    all.extend(command.sbom.as_ref().map(|text| canonical("sbom", text)));
    all.extend(command.provenance.as_ref().map(|text| canonical("provenance", text)));
    all
}

/// `--allow`. What it says of files and agents counts for definitions from elsewhere alone.
fn check_grants(allow: &[String]) -> Result<(), Failure> {
    const KNOWN: [&str; 7] = ["network.host", "security.insecure", "device", "fs", "fs.read", "fs.write", "ssh"];
    for text in allow {
        let name = text.split_once('=').map_or(text.as_str(), |(name, _)| name);
        if !KNOWN.contains(&name) {
            return Err(Failure::usage(format!("--allow {text}: there is nothing of that name to grant"))
                .hint("builds ask for security.insecure and network.host"));
        }
    }
    Ok(())
}

fn list(loaded: &Loaded, listing: Listing) -> Result<(), Failure> {
    match listing.what {
        BakeList::Variables if listing.json => {
            output::line(&Ordered::List(loaded.variables.iter().map(bake::Listed::json).collect()).pretty())
        }
        BakeList::Variables => {
            let row = |one: &bake::Listed| {
                let value = one.value.clone().unwrap_or_else(|| "<null>".to_owned());
                [one.name.clone(), one.kind.clone(), value, one.description.clone()]
            };
            let rows: Vec<_> = loaded.variables.iter().map(row).collect();
            output::table(["VARIABLE", "TYPE", "VALUE", "DESCRIPTION"], &rows)
        }
        BakeList::Targets => {
            let all = loaded.config.listed();
            if listing.json {
                return output::line(&Ordered::List(all.iter().map(bake::ListedTarget::json).collect()).pretty());
            }
            let rows: Vec<_> = all.into_iter().map(|one| [one.name, one.description]).collect();
            output::table(["TARGET", "DESCRIPTION"], &rows)
        }
    }
}
