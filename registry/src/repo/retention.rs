//! Retention: what the rules say is deleted, tag by tag, then history that is too old, then manifests that nothing names.
//!
//! A tag is deleted when rules cover it and none of them keeps it. It goes by the same compare-and-swap as any change, and
//! only while it still is the version that was judged. Its history stays, so it can be restored, until the history is
//! too old itself.

use std::collections::{BTreeSet, HashSet};

use wharf_spec::{Digest, How, RepositoryName, Tag};

use super::policy::{Action, Rule};
use super::tags::Edit;
use super::versions::TagRecord;
use super::{Repositories, Result};

/// Names and tags read at once.
const PAGE: usize = 500;

/// Who stands in the history for it.
const BY: &str = "retention";

/// Whether it is done or only said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Said only.
    DryRun,
    /// Done.
    Apply,
}

/// Something that went, or would go, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Where.
    pub repository: RepositoryName,
    /// What.
    pub what: Removed,
    /// Why, for people.
    pub why: String,
}

/// What went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A tag; its history stays.
    Tag {
        /// Its name.
        tag: Tag,
        /// What it pointed at.
        digest: Digest,
    },
    /// Versions of a tag's history.
    Versions {
        /// The tag.
        tag: Tag,
        /// How many.
        count: usize,
    },
    /// All that was remembered of a deleted tag.
    History {
        /// The tag.
        tag: Tag,
    },
    /// A manifest.
    Manifest {
        /// Its digest.
        digest: Digest,
    },
}

/// Is told of everything that goes.
pub type Report<'a> = &'a mut (dyn FnMut(Removal) + Send);

impl Repositories {
    /// Applies the policy's rules to every repository.
    pub async fn retain(&self, retention: Retention, report: Report<'_>) -> Result<()> {
        let mut last = None::<RepositoryName>;
        loop {
            let names = self.list(last.as_ref().map(RepositoryName::as_str), PAGE).await?;
            for name in &names {
                self.retain_in(name, retention, report).await?;
            }
            match names.last() {
                Some(name) if names.len() == PAGE => last = Some(name.clone()),
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// Applies the policy's rules to one repository.
    pub async fn retain_in(&self, name: &RepositoryName, retention: Retention, report: Report<'_>) -> Result<()> {
        let rules = Judgement::begin(self, name);
        let untagged = self.policy.untagged_age(name);
        if rules.keeping.is_empty() && self.policy.history_age.is_none() && untagged.is_none() {
            return Ok(());
        }
        let rules = rules.with_newest(self, name).await?;
        let mut roots = HashSet::new();
        let mut last = None::<Tag>;
        loop {
            let page = self.tag_records(name, last.as_ref().map(Tag::as_str), PAGE).await?;
            for (tag, record) in &page {
                let left = self.retain_tag(name, (tag, record), &rules, (retention, &mut *report)).await?;
                roots.extend(left.roots());
            }
            match page.last() {
                Some((tag, _)) if page.len() == PAGE => last = Some(tag.clone()),
                Some(_) | None => break,
            }
        }
        match untagged {
            Some(age) => self.retain_manifests(name, roots, age, (retention, report)).await,
            None => Ok(()),
        }
    }

    /// Judges one tag; its record as it is, or would be, afterwards.
    async fn retain_tag(
        &self,
        name: &RepositoryName,
        (tag, seen): (&Tag, &TagRecord),
        rules: &Judgement<'_>,
        (retention, report): (Retention, Report<'_>),
    ) -> Result<TagRecord> {
        let sentence = rules.sentence(tag, seen);
        let plan = |record: &mut TagRecord| self.plan(record, seen.version, sentence.is_some());
        let mut left = seen.clone();
        let planned = plan(&mut left);
        if planned.edit == Edit::Unchanged {
            return Ok(left);
        }
        let planned = match retention {
            Retention::DryRun => planned,
            Retention::Apply => {
                // What is reported is what was swapped in the end, not what was planned.
                let done = std::sync::Mutex::new(Planned::default());
                left = self
                    .edit_tag(name, tag, |record| {
                        let planned = plan(record);
                        *done.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = planned;
                        Ok(planned.edit)
                    })
                    .await?;
                done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
            }
        };
        let mut say = |what: Removed, why: String| report(Removal { repository: name.clone(), what, why });
        if let (true, Some(why), Some(current)) = (planned.deleted, &sentence, &seen.current) {
            say(Removed::Tag { tag: tag.clone(), digest: current.digest }, why.clone());
        }
        let age = || format!("older than {}", words(self.policy.history_age.unwrap_or_default()));
        if planned.edit == Edit::Forgotten {
            say(Removed::History { tag: tag.clone() }, format!("deleted, and its history is {}", age()));
            return Ok(TagRecord::default());
        }
        if planned.expired > 0 {
            say(Removed::Versions { tag: tag.clone(), count: planned.expired }, age());
        }
        Ok(left)
    }

    fn plan(&self, record: &mut TagRecord, judged: u64, condemned: bool) -> Planned {
        let mut planned = Planned::default();
        if condemned && record.version == judged {
            planned.edit = self.delete_record(record, BY, How::Retention);
            planned.deleted = planned.edit == Edit::Changed;
        }
        let limit = self.policy.history_age.map(|age| self.now().saturating_sub(age));
        if let Some(limit) = limit {
            let before = record.history.len();
            if record.expire(limit) {
                planned.expired = before - record.history.len();
                planned.edit = Edit::Changed;
            }
            if record.is_spent(limit) {
                planned.edit = Edit::Forgotten;
            }
        }
        planned
    }

    /// Deletes what nothing names. Indexes go before their children, subjects before what refers to them: again, until a
    /// round finds nothing.
    async fn retain_manifests(
        &self,
        name: &RepositoryName,
        roots: HashSet<Digest>,
        age: u64,
        (retention, report): (Retention, Report<'_>),
    ) -> Result<()> {
        let limit = self.now().saturating_sub(age);
        let why = format!("no tag, history or index names it, and it is older than {}", words(age));
        let mut gone = |digest| {
            report(Removal { repository: name.clone(), what: Removed::Manifest { digest }, why: why.clone() });
        };
        let mut roots = roots;
        loop {
            let candidates = self.unnamed(name, &roots, limit).await?;
            if retention == Retention::DryRun {
                candidates.into_iter().for_each(gone);
                return Ok(());
            }
            let mut condemned = Vec::new();
            for digest in candidates {
                if let Some(version) = self.condemn_old(name, &digest, limit).await? {
                    condemned.push((digest, version));
                }
            }
            if condemned.is_empty() {
                return Ok(());
            }
            // Only now, with the records written, the tags are read again.
            roots = self.roots(name).await?;
            let mut went = false;
            for (digest, version) in condemned {
                if self.decide(name, (&digest, &version), &roots).await? {
                    gone(digest);
                    went = true;
                }
            }
            if !went {
                return Ok(());
            }
        }
    }

    /// Every manifest that a tag of the repository points at or can go back to.
    pub(super) async fn roots(&self, name: &RepositoryName) -> Result<HashSet<Digest>> {
        let (mut roots, mut last) = (HashSet::new(), None::<Tag>);
        loop {
            let page = self.tag_records(name, last.as_ref().map(Tag::as_str), PAGE).await?;
            roots.extend(page.iter().flat_map(|(_, record)| record.roots()));
            match page.last() {
                Some((tag, _)) if page.len() == PAGE => last = Some(tag.clone()),
                Some(_) | None => return Ok(roots),
            }
        }
    }
}

/// What happens to one record.
#[derive(Clone, Copy, Debug)]
struct Planned {
    edit: Edit,
    deleted: bool,
    expired: usize,
}

impl Default for Planned {
    fn default() -> Self {
        Self { edit: Edit::Unchanged, deleted: false, expired: 0 }
    }
}

/// The rules about one repository's tags, and what they need to know of it.
struct Judgement<'a> {
    now: u64,
    name: &'a RepositoryName,
    repositories: &'a Repositories,
    keeping: Vec<Keeping<'a>>,
}

struct Keeping<'a> {
    /// As it is counted in the configuration, from 1.
    number: usize,
    rule: &'a Rule,
    last: Option<usize>,
    newer: Option<u64>,
    /// The newest tags it covers, by time and name; as many as `last` says.
    newest: BTreeSet<(u64, Tag)>,
}

impl<'a> Judgement<'a> {
    fn begin(repositories: &'a Repositories, name: &'a RepositoryName) -> Self {
        let about = |(index, rule): (usize, &'a Rule)| match rule.action {
            Action::Keep { last, newer } if rule.concerns(name) => {
                Some(Keeping { number: index + 1, rule, last, newer, newest: BTreeSet::new() })
            }
            Action::Keep { .. } | Action::Immutable | Action::Untagged { .. } => None,
        };
        let keeping = repositories.policy.rules.iter().enumerate().filter_map(about).collect();
        Self { now: repositories.now(), name, repositories, keeping }
    }

    /// Finds the newest tags of each rule. No more of them are held than the rules keep.
    async fn with_newest(mut self, repositories: &Repositories, name: &RepositoryName) -> Result<Self> {
        if self.keeping.iter().all(|keeping| keeping.last.is_none()) {
            return Ok(self);
        }
        let mut last = None::<Tag>;
        loop {
            let page = repositories.tag_records(name, last.as_ref().map(Tag::as_str), PAGE).await?;
            for (tag, record) in page.iter().filter(|(_, record)| record.current.is_some()) {
                for keeping in self.keeping.iter_mut().filter(|keeping| keeping.rule.covers(tag)) {
                    keeping.newest.insert((changed_at(record), tag.clone()));
                    if keeping.newest.len() > keeping.last.unwrap_or(0) {
                        keeping.newest.pop_first();
                    }
                }
            }
            match page.last() {
                Some((tag, _)) if page.len() == PAGE => last = Some(tag.clone()),
                Some(_) | None => return Ok(self),
            }
        }
    }

    /// Why a tag must go; `None` when it stays.
    fn sentence(&self, tag: &Tag, record: &TagRecord) -> Option<String> {
        record.current.as_ref()?;
        let mut reasons = Vec::new();
        for keeping in self.keeping.iter().filter(|keeping| keeping.rule.covers(tag)) {
            reasons.push(keeping.reason(tag, changed_at(record), self.now)?);
        }
        let immutable = || self.repositories.policy.is_immutable(self.name, tag);
        (!reasons.is_empty() && !immutable()).then(|| reasons.join("; "))
    }
}

impl Keeping<'_> {
    /// Why this rule does not keep the tag; `None` when it does.
    fn reason(&self, tag: &Tag, at: u64, now: u64) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(last) = self.last {
            if self.newest.contains(&(at, tag.clone())) {
                return None;
            }
            parts.push(format!("not among the newest {last}"));
        }
        if let Some(newer) = self.newer {
            if now.saturating_sub(at) < newer {
                return None;
            }
            parts.push(format!("older than {}", words(newer)));
        }
        Some(format!("{} (rule {})", parts.join(" and "), self.number))
    }
}

/// When a tag last came to point at what it points at.
fn changed_at(record: &TagRecord) -> u64 {
    record.history.first().map_or(0, |newest| newest.at)
}

/// A time span in its largest whole unit.
fn words(seconds: u64) -> String {
    for (unit, name) in [(86_400, "d"), (3600, "h"), (60, "min")] {
        if seconds > 0 && seconds.is_multiple_of(unit) {
            return format!("{} {name}", seconds / unit);
        }
    }
    format!("{seconds} s")
}
