//! `wharf images`: what is in the store.

use serde::Serialize;
use wharf_spec::{Descriptor, ManifestView, RawManifest, RepositoryName, Tag};

use crate::args::Images;
use crate::failure::Failure;
use crate::names::shown;
use crate::output;
use crate::progress::size;
use crate::session::Session;
use crate::stores::OpenStore;

/// Names and tags read at once.
const PAGE: usize = 1000;

/// One tag of one repository.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    repository: String,
    tag: Tag,
    digest: String,
    media_type: String,
    /// Bytes of configuration and layers as they are stored; of all platforms, for an index.
    size: u64,
    /// Seconds since 1970.
    pushed_at: u64,
}

/// Prints the list.
pub async fn run(session: &Session, command: Images) -> Result<(), Failure> {
    let store = OpenStore::open(session).await?;
    let mut rows = Vec::new();
    let mut last: Option<RepositoryName> = None;
    loop {
        let names =
            store.repositories.list(last.as_ref().map(RepositoryName::as_str), PAGE).await.map_err(unreadable)?;
        for name in &names {
            let wanted =
                command.repository.as_ref().is_none_or(|wanted| *wanted == shown(name) || wanted == name.as_str());
            if wanted {
                rows.extend(tags(&store, name).await?);
            }
        }
        match names.last() {
            Some(name) if names.len() == PAGE => last = Some(name.clone()),
            Some(_) | None => break,
        }
    }
    if command.json {
        return output::json(&rows);
    }
    if session.global.quiet {
        return rows.iter().try_for_each(|row| output::line(&row.digest));
    }
    let now = jiff::Timestamp::now().as_second();
    let cells = |row: &Row| {
        let digest = row.digest.split(':').next_back().unwrap_or_default().chars().take(12).collect();
        let age = now.saturating_sub(i64::try_from(row.pushed_at).unwrap_or(now));
        [row.repository.clone(), row.tag.to_string(), digest, ago(age), size(row.size)]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    output::table(["REPOSITORY", "TAG", "DIGEST", "PUSHED", "SIZE"], &rows)
}

async fn tags(store: &OpenStore, name: &RepositoryName) -> Result<Vec<Row>, Failure> {
    let (mut rows, mut last) = (Vec::new(), None::<Tag>);
    loop {
        let page = store.repositories.tags(name, last.as_ref().map(Tag::as_str), PAGE).await.map_err(unreadable)?;
        for (tag, descriptor) in &page {
            rows.push(row(store, name, tag, descriptor).await?);
        }
        match page.last() {
            Some((tag, _)) if page.len() == PAGE => last = Some(tag.clone()),
            Some(_) | None => return Ok(rows),
        }
    }
}

async fn row(store: &OpenStore, name: &RepositoryName, tag: &Tag, descriptor: &Descriptor) -> Result<Row, Failure> {
    let (mut size, mut pushed_at) = (0, 0);
    let mut waiting = vec![descriptor.digest];
    while let Some(digest) = waiting.pop() {
        // A listed manifest may have been deleted: what is there counts.
        let Ok(stored) = store.repositories.manifest(name, &digest).await else { continue };
        pushed_at = stored.pushed_at.max(pushed_at);
        let Ok(manifest) = RawManifest::parse(stored.bytes.to_vec(), Some(&stored.media_type), digest.algorithm())
        else {
            continue;
        };
        match manifest.view() {
            ManifestView::Manifest(_) => size += manifest.blobs().iter().map(|blob| blob.size).sum::<u64>(),
            ManifestView::Index(index) => waiting.extend(index.manifests.iter().map(|child| child.digest)),
        }
    }
    Ok(Row {
        repository: shown(name),
        tag: tag.clone(),
        digest: descriptor.digest.to_string(),
        media_type: descriptor.media_type.to_string(),
        size,
        pushed_at,
    })
}

fn unreadable(error: wharf_registry::repo::Error) -> Failure {
    Failure::new("the store could not be read").because(error)
}

/// A time span as people say it.
pub fn ago(seconds: i64) -> String {
    let (number, unit) = match seconds {
        ..60 => return "just now".to_owned(),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    #[test]
    fn ages_read_well() {
        for (seconds, text) in
            [(-5, "just now"), (59, "just now"), (61, "1 minute ago"), (7300, "2 hours ago"), (864_000, "10 days ago")]
        {
            assert_eq!(super::ago(seconds), text);
        }
    }
}
