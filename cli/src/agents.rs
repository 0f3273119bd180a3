//! `--ssh`: agents that are running, and one of our own for each set of keys in files.

use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use wharf_builder::ssh::{KeyAgent, KeyError, PrivateKey};

use crate::builds::read_text;
use crate::failure::Failure;
use crate::session::Session;
use crate::stores::own_place;

/// The sockets by id, and what must stay alive for them.
pub struct Agents {
    pub sockets: BTreeMap<String, PathBuf>,
    pub own: Vec<OwnAgent>,
}

/// An agent and the directory of its socket, which goes away with it.
pub struct OwnAgent {
    agent: Option<KeyAgent>,
    room: PathBuf,
}

impl Drop for OwnAgent {
    fn drop(&mut self) {
        self.agent = None;
        let _ = std::fs::remove_dir_all(&self.room);
    }
}

/// `ID[=SOCKET|KEY[,KEY]]`; alone, an id means the agent of `$SSH_AUTH_SOCK`.
pub fn of(session: &Session, texts: &[String], scratch: &Path) -> Result<Agents, Failure> {
    let mut agents = Agents { sockets: BTreeMap::new(), own: Vec::new() };
    for text in texts {
        let (id, paths) = text.split_once('=').map_or((text.as_str(), None), |(id, paths)| (id, Some(paths)));
        let Some(paths) = paths.or_else(|| session.environment.ssh_agent()) else {
            return Err(Failure::usage(format!("--ssh {text}: there is no agent in SSH_AUTH_SOCK"))
                .hint("start one: eval $(ssh-agent) && ssh-add; or name a key: --ssh default=KEY"));
        };
        let socket = if is_socket(text, Path::new(paths))? {
            PathBuf::from(paths)
        } else {
            let keys = paths.split(',').map(|path| key(text, Path::new(path))).collect::<Result<Vec<_>, _>>()?;
            let own = OwnAgent::start(keys, own_place(scratch, "agent"))?;
            let socket = own.socket();
            agents.own.push(own);
            socket
        };
        agents.sockets.insert(id.to_owned(), socket);
    }
    Ok(agents)
}

/// Whether it is one path, and that of a socket.
fn is_socket(text: &str, path: &Path) -> Result<bool, Failure> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.file_type().is_socket()),
        Err(_) if text.contains(',') => Ok(false),
        Err(error) => Err(Failure::new(format!("--ssh {text}: {} cannot be used", path.display())).because(error)),
    }
}

fn key(text: &str, path: &Path) -> Result<PrivateKey, Failure> {
    PrivateKey::parse(&read_text(path, "the key")?).map_err(|error| {
        let failure = Failure::usage(format!("--ssh {text}: {} cannot be used", path.display())).because(error);
        match error {
            KeyError::Encrypted => failure.hint(format!(
                "an agent asks for it once: eval $(ssh-agent) && ssh-add {}, then --ssh default",
                path.display()
            )),
            KeyError::UnknownKind => {
                failure.hint("an agent can use it: eval $(ssh-agent) && ssh-add, then --ssh default")
            }
            KeyError::NotAKey | KeyError::Damaged => failure,
        }
    })
}

impl OwnAgent {
    fn start(keys: Vec<PrivateKey>, room: PathBuf) -> Result<Self, Failure> {
        let failed = |error| Failure::new("could not start an agent for the keys of --ssh").because(error);
        std::fs::create_dir(&room).map_err(failed)?;
        let mut own = Self { agent: None, room };
        own.agent = Some(KeyAgent::start(keys, &own.room).map_err(failed)?);
        Ok(own)
    }

    fn socket(&self) -> PathBuf {
        self.agent.as_ref().map(|agent| agent.socket().to_owned()).unwrap_or_default()
    }
}
