//! `RUN`: the process, and what is mounted for it.

use super::graph::{AgentUse, BindAccess, Cache, FileSource, Run, RunMount, RunMountKind, Script, SecretUse, Work};
use super::interpret::{Interpreter, clean_join};
use crate::dockerfile::mount::{BindMount, CacheMount, SecretMount, SshMount};
use crate::dockerfile::{Diagnostic, Mount, MountSpec, NetworkMode, RunCommand, RunInstruction, SecurityMode, Spanned};
use crate::request::Entitlement;
use crate::sandbox::{Access, Network, Security};
use crate::settings::CACHE_NAMESPACE;

/// Where heredocs that begin with `#!` are put.
const PIPES: &str = "/dev/pipes";
/// Where the sockets of agents are put, with a number.
const AGENTS: &str = "/run/buildkit/ssh_agent";

impl Interpreter<'_> {
    pub(super) fn run(&mut self, run: &RunInstruction) -> Result<(), Diagnostic> {
        if let Some(device) = run.devices.iter().find(|device| device.required) {
            return Err(Diagnostic::error(format!("device `{}` is not available", device.name), device.span)
                .note("Wharf gives build steps no devices of the host"));
        }
        let (args, script) = self.process(&run.command);
        let mut mounts = Vec::new();
        for spec in &run.mounts {
            mounts.extend(self.mount(spec, &mounts)?);
        }
        let said = self.run_said(&args);
        let work = Run {
            args,
            env: self.env.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            proxies: self.setting.proxies.iter().filter(|(name, _)| self.env.get(name).is_none()).cloned().collect(),
            cwd: self.directory().to_owned(),
            user: self.config.config.user.clone(),
            mounts,
            script,
            network: self.network(run.network.as_ref()),
            security: self.security(run.security.as_ref())?,
        };
        self.push(Work::Run(Box::new(work)), said);
        Ok(())
    }

    fn process(&self, command: &RunCommand) -> (Vec<String>, Option<Script>) {
        match command {
            RunCommand::Exec(words) => (words.iter().map(|word| word.text.clone()).collect(), None),
            RunCommand::Shell(text) => (self.in_shell(text.as_str()), None),
            RunCommand::Script(file) => (self.in_shell(&file.content), None),
            RunCommand::ShellWithHeredocs { script, .. } => (self.in_shell(script), None),
            RunCommand::Executable(file) => {
                let name = file.name.text.clone();
                let args = self.in_shell(&format!("{PIPES}/{name}"));
                (args, Some(Script { name, content: file.content.clone() }))
            }
        }
    }

    /// `RUN |2 A=1 B=2 /bin/sh -c … # buildkit`: arguments declared so far, with the values they have now.
    fn run_said(&self, args: &[String]) -> String {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in &self.args {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let value = |name: &str| {
            let declared = || self.args.iter().rev().find(|(known, _)| known == name)?.1.as_deref();
            self.env.get(name).or_else(declared).unwrap_or_default()
        };
        let mut words = vec!["RUN".to_owned()];
        if !names.is_empty() {
            words.push(format!("|{}", names.len()));
            words.extend(names.iter().map(|name| format!("{name}={}", value(name))));
        }
        words.extend(args.iter().cloned());
        format!("{} # buildkit", words.join(" "))
    }

    fn network(&self, asked: Option<&Spanned<NetworkMode>>) -> Network {
        match asked.map_or(self.setting.request.network, |asked| asked.value) {
            NetworkMode::Default => Network::Default,
            NetworkMode::None => Network::None,
            NetworkMode::Host => Network::Host,
        }
    }

    fn security(&self, asked: Option<&Spanned<SecurityMode>>) -> Result<Security, Diagnostic> {
        match (asked.map(|asked| asked.value).unwrap_or_default(), self.setting.request.insecure) {
            (SecurityMode::Sandbox, _) => Ok(Security::Sandbox),
            (SecurityMode::Insecure, Entitlement::Granted) => Ok(Security::Insecure),
            (SecurityMode::Insecure, Entitlement::Refused) => {
                let span = asked.map_or(self.span, |asked| asked.span);
                Err(Diagnostic::error("this step asks for full privileges, which were not granted", span)
                    .help("grant them with --allow security.insecure if you trust this Dockerfile as much as root"))
            }
        }
    }

    fn mount(&mut self, spec: &MountSpec, mounts: &[RunMount]) -> Result<Option<RunMount>, Diagnostic> {
        let mount = spec.resolve(self.setting.escape, &|name| self.env.get(name).map(str::to_owned))?.value;
        let (target, kind) = match mount {
            Mount::Bind(bind) => (Some(bind.target.clone()), self.bind(&bind)?),
            Mount::Cache(cache) => (Some(cache.target.clone()), self.cache(cache)?),
            Mount::Tmpfs(tmpfs) => (Some(tmpfs.target), RunMountKind::Tmpfs { size: tmpfs.size }),
            Mount::Secret(secret) => (secret.target.clone(), RunMountKind::Secret(self.secret(secret, spec)?)),
            Mount::Ssh(ssh) => match self.agent(ssh, spec, mounts)? {
                Some((target, agent)) => (Some(target), RunMountKind::Agent(agent)),
                None => return Ok(None),
            },
        };
        let target = target.map(|target| clean_join(self.directory(), &target));
        if target.as_deref() == Some("/") {
            return Err(Diagnostic::error("nothing can be mounted over the root directory", spec.span)
                .help("give the mount a target of its own"));
        }
        Ok(Some(RunMount { span: spec.span, target, kind }))
    }

    fn bind(&mut self, bind: &BindMount) -> Result<RunMountKind, Diagnostic> {
        let source = self.source(bind.from.as_ref())?;
        let access = if bind.read_only { BindAccess::ReadOnly } else { BindAccess::Discarded };
        Ok(RunMountKind::Bind { source, path: clean_join("/", &bind.source), access })
    }

    fn cache(&mut self, cache: CacheMount) -> Result<RunMountKind, Diagnostic> {
        let seed: Option<(FileSource, String)> = match &cache.from {
            Some(word) => Some((self.source(Some(word))?, clean_join("/", &cache.source))),
            None => None,
        };
        let target = clean_join(self.directory(), &cache.target);
        Ok(RunMountKind::Cache(Cache {
            id: self.cache_id(cache.id.unwrap_or(target)),
            sharing: cache.sharing,
            seed,
            access: if cache.read_only { Access::ReadOnly } else { Access::ReadWrite },
            mode: cache.mode,
            uid: cache.uid,
            gid: cache.gid,
        }))
    }

    /// Builds that name another namespace share no caches with others.
    fn cache_id(&self, id: String) -> String {
        match self.setting.request.build_args.get(CACHE_NAMESPACE).filter(|namespace| !namespace.is_empty()) {
            Some(namespace) => clean_join(&format!("/{namespace}"), id.trim_start_matches('/')).split_off(1),
            None => id,
        }
    }

    fn secret(&self, secret: SecretMount, spec: &MountSpec) -> Result<SecretUse, Diagnostic> {
        if secret.required && !self.setting.request.secrets.contains_key(&secret.id) {
            return Err(Diagnostic::error(format!("secret `{}` is required and was not given", secret.id), spec.span)
                .help(format!("pass it with --secret id={},src=FILE", secret.id)));
        }
        Ok(SecretUse { id: secret.id, env: secret.env, mode: secret.mode, uid: secret.uid, gid: secret.gid })
    }

    /// An agent that was given; an optional one that was not is left out.
    fn agent(
        &self,
        ssh: SshMount,
        spec: &MountSpec,
        mounts: &[RunMount],
    ) -> Result<Option<(String, AgentUse)>, Diagnostic> {
        if !self.setting.request.ssh.contains_key(&ssh.id) {
            if !ssh.required {
                return Ok(None);
            }
            let help = match ssh.id.as_str() {
                "default" => "pass the agent of $SSH_AUTH_SOCK with --ssh default".to_owned(),
                id => format!("pass one with --ssh {id}=SOCKET"),
            };
            return Err(Diagnostic::error(format!("SSH agent `{}` is required and was not given", ssh.id), spec.span)
                .help(help));
        }
        let before = mounts.iter().filter(|mount| matches!(mount.kind, RunMountKind::Agent(_))).count();
        let target = ssh.target.unwrap_or_else(|| format!("{AGENTS}.{before}"));
        Ok(Some((target, AgentUse { id: ssh.id, mode: ssh.mode, uid: ssh.uid, gid: ssh.gid })))
    }
}
