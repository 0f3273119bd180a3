//! The agent: a socket, and the two things it does for whoever connects: list keys, and sign with one
//! (draft-ietf-sshm-ssh-agent). Everything else is refused.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

use super::key::PrivateKey;
use super::wire::{Reader, put_number, put_string};

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// No message of a client that means well is longer.
const LONGEST: u32 = 256 << 10;

/// An agent that runs as long as this lives.
#[derive(Debug)]
pub struct KeyAgent {
    socket: PathBuf,
    serving: JoinHandle<()>,
}

impl KeyAgent {
    /// Starts one in `room`, a directory of its own that nobody else may enter. Must be called within a runtime.
    pub fn start(keys: Vec<PrivateKey>, room: &Path) -> io::Result<Self> {
        fs::set_permissions(room, fs::Permissions::from_mode(0o700))?;
        let socket = room.join("agent");
        let listener = UnixListener::bind(&socket)?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))?;
        let keys = Arc::new(keys);
        let serving = tokio::spawn(async move {
            // Dropped with this task, and all connections with it.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let keys = Arc::clone(&keys);
                connections.spawn(async move {
                    // A client that breaks off is no matter.
                    let _ = serve(stream, &keys).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { socket, serving })
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for KeyAgent {
    fn drop(&mut self) {
        self.serving.abort();
        let _ = fs::remove_file(&self.socket);
    }
}

async fn serve(mut stream: UnixStream, keys: &[PrivateKey]) -> io::Result<()> {
    loop {
        let length = stream.read_u32().await?;
        if length > LONGEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut message = vec![0; usize::try_from(length).unwrap_or_default()];
        stream.read_exact(&mut message).await?;
        let said = answer(&message, keys).unwrap_or_else(|| vec![FAILURE]);
        let mut framed = Vec::new();
        put_string(&mut framed, &said);
        stream.write_all(&framed).await?;
    }
}

/// The answer to a message; `None` to what is not done.
fn answer(message: &[u8], keys: &[PrivateKey]) -> Option<Vec<u8>> {
    let mut message = Reader(message);
    match message.byte()? {
        REQUEST_IDENTITIES => {
            let mut said = vec![IDENTITIES_ANSWER];
            put_number(&mut said, u32::try_from(keys.len()).ok()?);
            for key in keys {
                put_string(&mut said, &key.public());
                put_string(&mut said, key.comment().as_bytes());
            }
            Some(said)
        }
        SIGN_REQUEST => {
            let (public, data, flags) = (message.string()?, message.string()?, message.number()?);
            let key = keys.iter().find(|key| key.public() == public)?;
            let mut said = vec![SIGN_RESPONSE];
            put_string(&mut said, &key.sign(data, flags)?);
            Some(said)
        }
        _ => None,
    }
}
