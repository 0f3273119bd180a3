//! Sending a blob while it is still being made: its bytes go ahead of its name.

use super::RemoteRepository;
use super::upload::{Begun, Push, Session};
use crate::transfer::{ByteStream, Result};
use wharf_spec::Digest;

/// An upload that has bytes and no name yet. Left alone, the registry forgets it after some time.
#[derive(Debug)]
pub struct Ahead {
    session: Session,
}

impl Ahead {
    /// How many bytes the registry has.
    pub fn sent(&self) -> u64 {
        self.session.sent
    }
}

/// How bytes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As they are.
    Whole,
    /// As a delta ([`wharf_spec::delta`]).
    Delta,
}

impl RemoteRepository {
    /// Begins an upload and sends what `bytes` gives to its end: a delta of `base` where the registry takes such and has that blob,
    /// else the bytes themselves. Nothing is tried twice: the bytes exist once, and the blob can be put as any other when this
    /// fails.
    pub async fn send_ahead(
        &self,
        base: Option<Digest>,
        bytes: impl FnOnce(Form) -> ByteStream + Send,
    ) -> Result<Ahead> {
        let doing = format!("send a layer ahead to {}/{}", self.host(), self.name());
        let (endpoint, scopes) = (self.origin_endpoint().await, [self.push_scope()]);
        let push = Push { repository: self, endpoint: &endpoint, doing: &doing, scopes: &scopes };
        let mut session = match push.initiate(None).await? {
            Begun::Session(session) => session,
            Begun::Mounted => unreachable!("a mount was not asked for"),
        };
        let mut known = base.as_ref().filter(|_| session.takes_deltas);
        if let Some(base) = known
            && !push.check_existing(base).await.unwrap_or(false)
        {
            known = None;
        }
        let bytes = bytes(if known.is_some() { Form::Delta } else { Form::Whole });
        match push.send_all(&mut session, known, bytes).await {
            Ok(sent) => Ok(Ahead { session: Session { sent, ..session } }),
            Err(error) => {
                push.cancel(&session).await;
                Err(error)
            }
        }
    }

    /// Says which blob the bytes are the beginning of: when it is put, only the rest is sent.
    pub fn name_ahead(&self, digest: Digest, ahead: Ahead) {
        self.keep_session(digest, ahead.session);
    }

    /// Takes bytes back that nobody wants.
    pub async fn withdraw(&self, ahead: Ahead) {
        let doing = format!("end an upload to {}/{}", self.host(), self.name());
        let (endpoint, scopes) = (self.origin_endpoint().await, [self.push_scope()]);
        Push { repository: self, endpoint: &endpoint, doing: &doing, scopes: &scopes }.cancel(&ahead.session).await;
    }
}
