//! Showing transfers: each blob that moves is a task.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use wharf_client::transfer::{CopyReport, Events, TransferEvent};
use wharf_spec::{Descriptor, Digest, MediaKind};

use crate::progress::{How, Progress, Task, Update, size};

struct Moving {
    task: Task,
    total: u64,
    started: Instant,
}

/// Shows a transfer's events; `verb` is `pull`, `push` or `copy`.
pub fn shown(progress: &Progress, verb: &'static str) -> Events {
    let (progress, moving) = (progress.clone(), Mutex::new(HashMap::<Digest, Moving>::new()));
    Arc::new(move |event| {
        let mut moving = moving.lock().unwrap_or_else(PoisonError::into_inner);
        let at_once = |descriptor: &Descriptor, how: How| {
            progress.start(label(verb, descriptor)).done(how, std::time::Duration::ZERO);
        };
        match event {
            TransferEvent::BlobStarted(descriptor) => {
                let task = progress.start(label(verb, &descriptor));
                moving.insert(descriptor.digest, Moving { task, total: descriptor.size, started: Instant::now() });
            }
            TransferEvent::BlobProgress { digest, done } => {
                if let Some(Moving { task, total, .. }) = moving.get(&digest) {
                    task.update(&Update::Bytes { done, total: Some(*total) });
                }
            }
            TransferEvent::BlobDone(descriptor) => {
                if let Some(Moving { task, started, .. }) = moving.remove(&descriptor.digest) {
                    task.done(How::Done, started.elapsed());
                }
            }
            TransferEvent::BlobExists(descriptor) | TransferEvent::BlobSkipped(descriptor) => {
                at_once(&descriptor, How::Exists);
            }
            TransferEvent::BlobMounted { descriptor, .. } => at_once(&descriptor, How::Mounted),
            TransferEvent::ManifestExists(descriptor) => at_once(&descriptor, How::Exists),
            TransferEvent::ManifestDone { descriptor, .. } => at_once(&descriptor, How::Done),
            TransferEvent::Planned { .. } | TransferEvent::PlatformSkipped(_) => {}
        }
    })
}

fn label(verb: &str, descriptor: &Descriptor) -> String {
    let kind = match descriptor.media_type.kind() {
        MediaKind::Manifest => "manifest",
        MediaKind::Index => "index",
        MediaKind::Config => "config",
        MediaKind::Layer(_) => "layer",
        MediaKind::Unknown => "blob",
    };
    format!("{verb} {kind} {} ({})", descriptor.digest.short(), size(descriptor.size))
}

/// What a transfer came to, in one line.
pub fn summary(report: &CopyReport) -> String {
    let mut parts = vec![format!("{} copied ({})", report.copied, size(report.copied_bytes))];
    if report.mounted > 0 {
        parts.push(format!("{} mounted", report.mounted));
    }
    if report.existing > 0 {
        parts.push(format!("{} already there", report.existing));
    }
    format!("{} blobs", parts.join(", "))
}
