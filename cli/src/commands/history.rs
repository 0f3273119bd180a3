//! `wharf history` and `wharf rollback`: the versions of a tag, in the store or, for a name with a host, at that registry.

use wharf_client::registry::RemoteRepository;
use wharf_registry::repo::{Error as RepoError, Expected, Precondition, Repositories, TagRecord};
use wharf_spec::{Earlier, Reference, RepositoryName, Tag, TagHistory, TagVersion};

use crate::args::{Format, History, Rollback};
use crate::commands::images::ago;
use crate::failure::Failure;
use crate::images::BY;
use crate::names::{candidates, store_name};
use crate::output;
use crate::session::Session;
use crate::stores::OpenStore;

/// A tag, where it is.
enum Versions {
    Local(Repositories, RepositoryName),
    Remote(RemoteRepository),
}

/// Prints a tag's history.
pub async fn run(session: &Session, command: History) -> Result<(), Failure> {
    let tag = tag(&command.image)?;
    let failed = || Failure::new(format!("could not read the history of {}", command.image));
    let Some((_, history)) = find(session, &command.image, &tag).await? else {
        return Err(failed().hint("`wharf images` lists what is in the store"));
    };
    match command.format {
        Format::Json => output::json(&history),
        Format::Table => print(&history),
    }
}

/// Rolls a tag back, and prints what it points at by digest.
pub async fn rollback(session: &Session, command: Rollback) -> Result<(), Failure> {
    let tag = tag(&command.image)?;
    let failed = || Failure::new(format!("could not roll back {}", command.image));
    let Some((versions, before)) = find(session, &command.image, &tag).await? else {
        return Err(failed().hint("`wharf images` lists what is in the store"));
    };
    let earlier = command.to.unwrap_or(Earlier::OneBack);
    let after = match versions {
        Versions::Local(repositories, name) => {
            // What was just read is what is rolled back: two who do so at once go one step back, not two.
            let condition = Precondition::Is(vec![Expected::Version(before.version)]);
            let rolled = repositories.rollback(&name, &tag, earlier, (&condition, BY)).await;
            wire(name, tag, rolled.map_err(|error| failed().because(error).hint(look(&command.image)))?)
        }
        Versions::Remote(remote) => remote
            .rollback(&tag, earlier, before.version)
            .await
            .map_err(|error| failed().because(error).hint(look(&command.image)))?,
    };
    let (Some(current), Some(newest)) = (&after.current, after.history.first()) else {
        return Err(failed().hint(look(&command.image)));
    };
    if !session.global.quiet {
        let what = match (after.version == before.version, newest.from) {
            (true, _) => format!("stays at version {}, which is that already", after.version),
            (false, Some(from)) => format!("is at version {}, which is version {from} again", after.version),
            (false, None) => format!("is at version {}", after.version),
        };
        eprintln!("{} {what}", command.image);
    }
    output::line(&command.image.with_digest(current.digest).to_string())
}

fn look(image: &Reference) -> String {
    format!("`wharf history {image}` shows its versions")
}

fn tag(reference: &Reference) -> Result<Tag, Failure> {
    reference.tag_or_latest().filter(|_| reference.digest.is_none()).ok_or_else(|| {
        Failure::usage(format!("{reference} names a manifest, which never changes"))
            .hint("versions are those of a tag: NAME:TAG")
    })
}

/// The tag with its history: at the registry for a name with a host, else in the store.
async fn find(session: &Session, reference: &Reference, tag: &Tag) -> Result<Option<(Versions, TagHistory)>, Failure> {
    let failed = || Failure::new(format!("could not read the history of {reference}"));
    if reference.host.is_some() {
        let remote = session.remote(reference)?.repository;
        let history = remote.history(tag).await.map_err(|error| failed().because(error))?;
        return Ok(Some((Versions::Remote(remote), history)));
    }
    let repositories = OpenStore::open(session).await?.repositories;
    for candidate in candidates(reference) {
        let Some(name) = store_name(&candidate) else { continue };
        match repositories.history(&name, tag).await {
            Ok(record) => {
                let history = wire(name.clone(), tag.clone(), record);
                return Ok(Some((Versions::Local(repositories, name), history)));
            }
            Err(RepoError::UnknownManifest { .. } | RepoError::UnknownRepository(_)) => {}
            Err(error) => return Err(failed().because(error)),
        }
    }
    Ok(None)
}

fn wire(repository: RepositoryName, tag: Tag, record: TagRecord) -> TagHistory {
    let TagRecord { current, version, history, .. } = record;
    TagHistory { repository, tag, version, current, history }
}

fn print(history: &TagHistory) -> Result<(), Failure> {
    let now = jiff::Timestamp::now().as_second();
    let row = |entry: &TagVersion| {
        let digest = entry.descriptor.as_ref().map_or("-".to_owned(), |to| to.digest.to_string());
        let age = now.saturating_sub(i64::try_from(entry.at).unwrap_or(now));
        let mut how = entry.how.as_str().to_owned();
        if let Some(from) = entry.from {
            how.push_str(&format!(" of {from}"));
        }
        if entry.gone {
            how.push_str(", gone");
        }
        [entry.version.to_string(), digest, ago(age), entry.by.clone(), how]
    };
    let rows: Vec<_> = history.history.iter().map(row).collect();
    output::table(["VERSION", "DIGEST", "SINCE", "BY", "HOW"], &rows)
}
