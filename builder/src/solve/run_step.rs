//! `RUN`: unpacked layers, a sandbox on top of them, and what it changed as a new layer.
//!
//! The upper directory itself becomes the unpacked form of the new layer, so nothing is ever extracted that was made here.
//! A step that fails leaves only its scratch directory, which goes with the build.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::blame;
use super::depot::overlay_and_ownership;
use super::key::Facts;
use super::layer::{Layer, Stack};
use super::run_output::Listener;
use super::solver::Solver;
use super::transport::{StoreLayerError, store_layer};
use crate::dockerfile::{Diagnostic, Span};
use crate::error::BuildError;
use crate::event::StepId;
use crate::layer::{DiffError, DiffOptions, Tree, WriteError, write_upper};
use crate::plan::{PlannedStage, Run, Step, Work};
use crate::sandbox::{ExitStatus, Process, RootFs, SandboxError, Tier};
use crate::settings::HOSTNAME;

/// How many chunks of output may wait for whoever listens.
const WAITING_OUTPUT: usize = 64;

impl Solver<'_> {
    /// What the key of a `RUN` is made of.
    pub(super) async fn run_facts(
        &self,
        stage: &PlannedStage,
        step: &Step,
        run: &Run,
        before: &Stack,
    ) -> Result<Facts, BuildError> {
        let mut facts = self.facts("run", stage, before);
        facts.list("args", run.args.iter().map(String::as_str));
        facts.named("env", &run.env);
        facts.text("cwd", &run.cwd);
        facts.text("user", &run.user);
        facts.text("network", &format!("{:?}", run.network));
        facts.text("security", &format!("{:?}", run.security));
        // Names only: addresses differ between machines that build the same.
        facts.list("hosts", self.request.extra_hosts.iter().map(|(name, _)| name.as_str()));
        if let Some(name) = self.hostname() {
            facts.text("hostname", name);
        }
        // A step that says nothing about them keeps the key it always had.
        let limits = &self.request.limits;
        if !limits.rlimits.is_empty() {
            let limits: Vec<_> = limits.rlimits.iter().map(|limit| format!("{limit:?}")).collect();
            facts.list("ulimits", limits.iter().map(String::as_str));
        }
        if let Some(size) = limits.shared_memory {
            facts.text("shm", &size.to_string());
        }
        if let Some(script) = &run.script {
            facts.list("script", [script.name.as_str(), script.content.as_str()]);
        }
        self.mount_facts(step, run, &mut facts).await?;
        Ok(facts)
    }

    /// The host name that was asked for.
    fn hostname(&self) -> Option<&str> {
        self.request.build_args.get(HOSTNAME).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Runs the process and makes the layer.
    pub(super) async fn run(&self, step: &Step, run: &Run, before: &Stack) -> Result<Layer, BuildError> {
        if run.args.is_empty() {
            return Err(Diagnostic::error("there is nothing to run", step.span).into());
        }
        if let Tier::None { reason } = Tier::current() {
            return Err(Diagnostic::error("this step needs a sandbox, which is not available here", step.span)
                .note(reason)
                .help("`wharf doctor` tells what is missing; COPY and ADD work without one")
                .into());
        }
        let lowers = self.depot.unpacked(before, Some(step.id)).await?;
        let tree = self.depot.tree(before, Some(step.id)).await?;
        let room = self.depot.scratch("run")?;
        let rootfs = RootFs { lowers, upper: room.join("upper"), work: room, shared: self.depot.shared()? };
        std::fs::create_dir(&rootfs.upper).map_err(|error| BuildError::io("make a directory in the cache", error))?;
        let mut process = Process::new(run.args.iter().cloned());
        process.env = run.env.iter().chain(&run.proxies).cloned().collect();
        process.cwd.clone_from(&run.cwd);
        process.user.clone_from(&run.user);
        process.network = run.network;
        process.security = run.security;
        process.extra_hosts.clone_from(&self.request.extra_hosts);
        if let Some(name) = self.hostname() {
            name.clone_into(&mut process.hostname);
        }
        process.limits.clone_from(&self.request.limits);
        // Caches are locked as long as this lives.
        let mounts = self.mounts(step, run).await?;
        process.mounts.clone_from(&mounts.list);
        process.env.extend(mounts.env.iter().cloned());
        self.execute(step, run, (&rootfs, &process)).await?;
        drop(mounts);
        self.take_changes(step, rootfs.upper, tree).await
    }

    async fn execute(&self, step: &Step, run: &Run, (rootfs, process): (&RootFs, &Process)) -> Result<(), BuildError> {
        let (output, heard) = mpsc::channel(WAITING_OUTPUT);
        let mut listener = Listener::new(step.id, Arc::clone(&self.reporter));
        let (ended, (), ()) = tokio::join!(
            self.helpers.run(rootfs, process, output, &self.cancel),
            listener.listen(heard),
            // Once this process is on its way.
            async { self.prepare_next(step.id) },
        );
        match ended {
            Ok(ExitStatus { code: 0, .. }) => Ok(()),
            Ok(status) => {
                let diagnostic = failed(run, status, &listener.last_lines(), step.span);
                let limit = process.limits.group.memory.filter(|_| status.out_of_memory);
                Err(limit.into_iter().fold(diagnostic, |diagnostic, limit| diagnostic.note(exceeded(limit))).into())
            }
            Err(SandboxError::Cancelled) => Err(BuildError::Cancelled),
            Err(error) => Err(self.foreign(&error, not_run(run, &error, &listener.last_lines(), step.span)).into()),
        }
    }

    /// Has a helper ready for the stage's next `RUN`: what comes after a step that had to run has to run, too.
    fn prepare_next(&self, id: StepId) {
        let after = |stage: &PlannedStage| {
            let at = stage.steps.iter().position(|step| step.id == id)?;
            Some(stage.steps[at + 1..].iter().any(|step| matches!(step.work, Work::Run(_))))
        };
        if self.plan.stages.iter().find_map(after) == Some(true) {
            self.helpers.prepare();
        }
    }

    /// Adds what is missing where the program is for another machine than this.
    fn foreign(&self, error: &SandboxError, diagnostic: Diagnostic) -> Diagnostic {
        let (wanted, here) = (&self.request.platform, &self.request.build_platform);
        let foreign = matches!(error, SandboxError::ProgramNotExecutable { errno, .. } if errno.0 == libc::ENOEXEC);
        if !foreign || here.satisfies(wanted) {
            return diagnostic;
        }
        diagnostic
            .note(format!("the image is for {wanted}, this machine is {here}"))
            .help("register an emulator with binfmt_misc: apt install qemu-user-static binfmt-support")
            .help("or compile for the other machine in a stage FROM --platform=$BUILDPLATFORM, which needs no emulator")
    }

    /// The changes in an upper directory as a layer.
    async fn take_changes(&self, step: &Step, upper: PathBuf, tree: Arc<Tree>) -> Result<Layer, BuildError> {
        let (overlay, ownership) = overlay_and_ownership();
        let options = DiffOptions { overlay, ownership, ignore: Vec::new() };
        let changed = upper.clone();
        let recipe = self.recipe(step).await;
        let _memory = self.memory_for(&recipe.options).await?;
        let stored = store_layer(self.depot.blobs(), recipe, move |writer| {
            write_upper(&changed, &*tree, &options, writer).map_err(Fill)
        });
        let stored = stored.await.map_err(|error| match error {
            StoreLayerError::Store(error) => error.into(),
            StoreLayerError::Fill(Fill(error)) => diff_failed(error, step.span),
        })?;
        let layer = self.keep(step, stored)?;
        // Clamped times are in the layer only; what is unpacked must be the same as what everybody else unpacks.
        if self.epoch().is_none() {
            self.depot.adopt_upper(layer.diff_id, upper).await?;
        }
        Ok(layer)
    }
}

/// A failure to read an upper directory, which may be one to write the layer.
struct Fill(DiffError);

impl From<WriteError> for Fill {
    fn from(error: WriteError) -> Self {
        Self(DiffError::Write(error))
    }
}

fn diff_failed(error: DiffError, span: Span) -> BuildError {
    match error {
        DiffError::Write(error) => blame::write(error, span),
        DiffError::Io { .. } | DiffError::Name { .. } | DiffError::ReservedName { .. } | DiffError::Overlay { .. } => {
            blame::at(span, "the changes of this step cannot be stored", &error).into()
        }
    }
}

/// A process that ended, but not well.
fn failed(run: &Run, status: ExitStatus, last_lines: &[String], span: Span) -> Diagnostic {
    let title = format!("the command failed with exit code {}", status.code);
    let diagnostic = with_output(Diagnostic::error(title, span), last_lines);
    let diagnostic = diagnostic.note(format!("it was: {}", spoken(run)));
    if status.out_of_memory {
        return diagnostic.help("memory ran out meanwhile: give it more, or run less at once");
    }
    match status.code {
        126 => {
            diagnostic.help("126 means that a program was found but cannot be executed: look at its mode and format")
        }
        127 => diagnostic.help("127 means that a program was not found: is it installed, and in PATH?"),
        137 => diagnostic.help("137 means that it was killed, perhaps for lack of memory"),
        _ => diagnostic.help(
            "to look into it, build again with --progress=plain, which shows all it prints; `set -x` in front of a shell's \
             commands shows each of them",
        ),
    }
}

fn exceeded(limit: u64) -> String {
    format!("all processes of the step together may use {limit} bytes of memory (--memory)")
}

/// A process that never ran, or that something ended.
fn not_run(run: &Run, error: &SandboxError, last_lines: &[String], span: Span) -> Diagnostic {
    with_output(Diagnostic::error(error.to_string(), span), last_lines)
        .note(format!("the command was: {}", spoken(run)))
        .maybe_help(error.hint())
}

fn with_output(diagnostic: Diagnostic, last_lines: &[String]) -> Diagnostic {
    if last_lines.is_empty() {
        return diagnostic.note("it printed nothing");
    }
    diagnostic.note(format!("its last lines:\n{}", last_lines.join("\n")))
}

/// The command as one would type it.
fn spoken(run: &Run) -> String {
    const MOST: usize = 400;
    let text = run.args.join(" ");
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
