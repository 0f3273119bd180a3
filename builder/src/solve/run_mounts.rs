//! What is mounted for a `RUN`: directories for every [`RunMount`], and what of them counts for the key.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use super::agent::{Forwarded, forward};
use super::blame;
use super::cache_mount::CacheLock;
use super::key::Facts;
use super::materialise::materialise;
use super::solver::{Need, Solver};
use super::stage_files::StageFiles;
use super::transport::blocking;
use crate::copy::fingerprint_selections;
use crate::dockerfile::Diagnostic;
use crate::error::BuildError;
use crate::files::{Files as _, Selection, resolve};
use crate::layer::{Fingerprint, LayerPath};
use crate::plan::{AgentUse, BindAccess, Cache, FileSource, Run, RunMount, RunMountKind, Script, SecretUse, Step};
use crate::sandbox::{Access, Mount, MountKind, Secret, Writes};

/// Where heredocs that are programs are.
const PIPES: &str = "/dev/pipes";
/// Where SSH looks for its agent.
const AGENT_VARIABLE: &str = "SSH_AUTH_SOCK";

/// Everything mounted for one process.
#[derive(Default)]
pub(super) struct Mounts {
    pub(super) list: Vec<Mount>,
    /// Secrets as variables.
    pub(super) env: Vec<(String, String)>,
    /// Held while the process runs.
    pub(super) locks: Vec<CacheLock>,
    /// Held while the process runs, too.
    agents: Vec<Forwarded>,
}

impl Solver<'_> {
    /// What of the mounts shows in the result. Caches, secrets and their names do not.
    pub(super) async fn mount_facts(&self, step: &Step, run: &Run, facts: &mut Facts) -> Result<(), BuildError> {
        for mount in &run.mounts {
            facts.maybe("mount", mount.target.as_deref());
            match &mount.kind {
                RunMountKind::Bind { source, path, access } => {
                    facts.text("bind", &format!("{access:?}"));
                    match source {
                        FileSource::Stage(id) => {
                            facts.digest("from", &self.stage(*id, Need::Identity).await?.identity());
                            facts.text("path", path);
                        }
                        FileSource::Context(_) => {
                            let selection = self.bound(*source, path, mount, step).await?;
                            facts.fingerprint("files", &selection.fingerprint);
                            facts.files(&[selection.selection]);
                        }
                    }
                }
                RunMountKind::Cache(cache) => facts.text("cache", &format!("{:?}", cache.access)),
                RunMountKind::Tmpfs { size } => {
                    facts.maybe("tmpfs", size.map(|size| size.to_string()).as_deref());
                }
                RunMountKind::Secret(secret) => {
                    facts.maybe("secret", secret.env.as_deref());
                    facts.list("owner", [format!("{:o} {}:{}", secret.mode, secret.uid, secret.gid).as_str()]);
                }
                RunMountKind::Agent(agent) => {
                    facts.list("agent", [format!("{:o} {}:{}", agent.mode, agent.uid, agent.gid).as_str()]);
                }
            }
        }
        Ok(())
    }

    /// Makes everything that is mounted.
    pub(super) async fn mounts(&self, step: &Step, run: &Run) -> Result<Mounts, BuildError> {
        let mut mounts = Mounts::default();
        for mount in &run.mounts {
            let kind = match &mount.kind {
                RunMountKind::Bind { source, path, access } => {
                    Some(self.bind(*source, path, *access, mount, step).await?)
                }
                RunMountKind::Cache(cache) => Some(self.cache(cache, mount, step, &mut mounts.locks).await?),
                RunMountKind::Tmpfs { size } => Some(MountKind::Tmpfs { size: *size }),
                RunMountKind::Secret(secret) => self.secret(secret, mount, &mut mounts.env)?,
                RunMountKind::Agent(agent) => self.agent(agent, mount, &mut mounts)?,
            };
            if let (Some(target), Some(kind)) = (&mount.target, kind) {
                mounts.list.push(Mount { target: target.clone(), kind });
            }
        }
        if let Some(script) = &run.script {
            mounts.list.push(self.script(script)?);
        }
        Ok(mounts)
    }

    /// A heredoc as a program; a file that exists in memory only could not be executed.
    fn script(&self, script: &Script) -> Result<Mount, BuildError> {
        let source = self.depot.scratch("script")?;
        let path = source.join(&script.name);
        let write = || {
            fs::write(&path, &script.content)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        };
        write().map_err(|error| BuildError::io("write a script", error))?;
        let kind = MountKind::Bind { source, subpath: String::new(), access: Access::ReadOnly };
        Ok(Mount { target: PIPES.to_owned(), kind })
    }

    async fn bind(
        &self,
        source: FileSource,
        path: &str,
        access: BindAccess,
        mount: &RunMount,
        step: &Step,
    ) -> Result<MountKind, BuildError> {
        let writes = match access {
            BindAccess::ReadOnly => Writes::Refused,
            BindAccess::Discarded => Writes::Discarded,
        };
        let subpath = path.trim_matches('/').to_owned();
        match source {
            FileSource::Stage(id) => {
                // Its bytes were made sure of before this step began.
                let stack = self.stage(id, Need::Identity).await?;
                let tree = self.depot.tree(&stack, Some(step.id)).await?;
                let wanted = LayerPath::parse_clipped(path).unwrap_or_default();
                let found = resolve(&StageFiles { tree }, &wanted).map_err(|error| blame::files(&error, mount.span))?;
                if found.is_none() {
                    let name = &self.plan.stages[id.0].name;
                    return Err(blame::missing_in_stage(path, mount.span, name, &[]).into());
                }
                let lowers = self.depot.unpacked(&stack, Some(step.id)).await?;
                Ok(MountKind::Layers { lowers, subpath, writes })
            }
            FileSource::Context(_) => {
                let bound = self.bound(source, path, mount, step).await?;
                let copy = self.depot.scratch("bind")?;
                let dest = copy.clone();
                let made = blocking(move || {
                    let open = |path: &LayerPath| bound.context.open_file(path);
                    materialise(&bound.selection, &open, &dest)
                });
                made.await.map_err(|error| blame::files(&error, mount.span))?;
                // Links were followed to get here; what is mounted is the thing itself.
                Ok(MountKind::Layers { lowers: vec![copy], subpath: "it".to_owned(), writes })
            }
        }
    }

    /// What a bind mount of a context shows.
    async fn bound(&self, source: FileSource, path: &str, mount: &RunMount, step: &Step) -> Result<Bound, BuildError> {
        let FileSource::Context(id) = source else {
            return Err(Diagnostic::error("this is no context", mount.span).into());
        };
        let context = self.context(id, step.span).await?;
        let (looked_in, wanted) = (Arc::clone(&context), LayerPath::parse_clipped(path).unwrap_or_default());
        let looked = blocking(move || {
            let Some(top) = resolve(&*looked_in, &wanted)? else { return Ok(None) };
            let mut below = looked_in.walk(&top)?;
            below.remove_first();
            let mut selection = Selection { name: b"it".to_vec(), top, below };
            let fingerprint = fingerprint_selections(&*looked_in, std::slice::from_mut(&mut selection))?;
            Ok(Some((selection, fingerprint)))
        });
        match looked.await.map_err(|error| blame::files(&error, mount.span))? {
            Some((selection, fingerprint)) => Ok(Bound { context, selection, fingerprint }),
            None => {
                let absence = context.absence(&LayerPath::parse_clipped(path).unwrap_or_default());
                Err(blame::missing_in_context(path, mount.span, context.name(), &absence).into())
            }
        }
    }

    async fn cache(
        &self,
        cache: &Cache,
        mount: &RunMount,
        step: &Step,
        locks: &mut Vec<CacheLock>,
    ) -> Result<MountKind, BuildError> {
        let (lock, source) = self.open_cache(cache, mount, step).await?;
        locks.extend(lock);
        Ok(MountKind::Bind { source, subpath: String::new(), access: cache.access })
    }

    /// A socket of the step's own that leads to the agent. The first is the one programs are told of.
    fn agent(&self, agent: &AgentUse, mount: &RunMount, mounts: &mut Mounts) -> Result<Option<MountKind>, BuildError> {
        let Some(socket) = self.request.ssh.get(&agent.id) else { return Ok(None) };
        let room = self.depot.scratch("agent")?;
        let forwarded = forward(socket, &room, agent).map_err(|error| {
            Diagnostic::error(format!("SSH agent `{}` cannot be passed on", agent.id), mount.span)
                .note(error.to_string())
        })?;
        let source = forwarded.socket.clone();
        mounts.agents.push(forwarded);
        let known = mounts.env.iter().any(|(name, _)| name == AGENT_VARIABLE);
        if let (false, Some(target)) = (known, &mount.target) {
            mounts.env.push((AGENT_VARIABLE.to_owned(), target.clone()));
        }
        Ok(Some(MountKind::Bind { source, subpath: String::new(), access: Access::ReadWrite }))
    }

    fn secret(
        &self,
        secret: &SecretUse,
        mount: &RunMount,
        env: &mut Vec<(String, String)>,
    ) -> Result<Option<MountKind>, BuildError> {
        let Some(value) = self.request.secrets.get(&secret.id) else { return Ok(None) };
        if let Some(name) = &secret.env {
            let text = std::str::from_utf8(value.expose()).map_err(|_| {
                let title = format!("secret `{}` is no text and cannot be a variable", secret.id);
                Diagnostic::error(title, mount.span).help("mount it as a file")
            })?;
            env.push((name.clone(), text.to_owned()));
        }
        let contents = Secret::new(value.expose().to_vec());
        Ok(Some(MountKind::File { contents, mode: secret.mode, uid: secret.uid, gid: secret.gid }))
    }
}

/// A part of a context to be mounted.
struct Bound {
    context: Arc<crate::context::Context>,
    selection: Selection,
    fingerprint: Fingerprint,
}
