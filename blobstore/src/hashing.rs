//! Hashing away from the threads that serve everyone: a large piece is hashed while it is written and the next one comes in.

use bytes::Bytes;
use tokio::task::JoinHandle;
use wharf_spec::Hasher;

use crate::{Error, Result};

/// Up to so many bytes are hashed right away, in a few ten microseconds: as long as handing them to another thread takes.
const FEW: usize = 8 << 10;

/// A hasher, or where it is just now. One piece at most is under way.
pub(crate) struct Hashing {
    hasher: Option<Hasher>,
    under_way: Option<JoinHandle<Hasher>>,
}

impl Hashing {
    pub(crate) fn new(hasher: Hasher) -> Self {
        Self { hasher: Some(hasher), under_way: None }
    }

    /// Takes in a piece after the one before.
    pub(crate) async fn update(&mut self, piece: &Bytes) -> Result<()> {
        let mut hasher = self.take().await?;
        if piece.len() <= FEW {
            hasher.update(piece);
            self.hasher = Some(hasher);
        } else {
            let piece = piece.clone();
            self.under_way = Some(tokio::task::spawn_blocking(move || {
                hasher.update(&piece);
                hasher
            }));
        }
        Ok(())
    }

    /// The hasher when it has seen everything.
    pub(crate) async fn settled(&mut self) -> Result<&Hasher> {
        let hasher = self.take().await?;
        Ok(self.hasher.insert(hasher))
    }

    /// A caller may give up waiting and ask again.
    async fn take(&mut self) -> Result<Hasher> {
        if let Some(handle) = self.under_way.as_mut() {
            let hashed = handle.await;
            self.under_way = None;
            self.hasher = Some(hashed.map_err(|error| match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_cancelled) => Error::UploadLost,
            })?);
        }
        // There is none after an error: the upload cannot go on.
        self.hasher.take().ok_or(Error::UploadLost)
    }
}
