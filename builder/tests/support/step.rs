//! One `RUN` step in a test.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wharf_builder::sandbox::{
    Access, ExitStatus, Helpers, Mount, MountKind, OutputChunk, Process, RootFs, SandboxError, Stream,
};

use super::image;

/// A step to be run once: change `process` and `rootfs` first.
pub(crate) struct Step {
    pub(crate) process: Process,
    pub(crate) rootfs: RootFs,
    pub(crate) room: TempDir,
}

/// What came of it.
pub(crate) struct Ran {
    pub(crate) result: Result<ExitStatus, SandboxError>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) upper: PathBuf,
    // Keeps the upper directory.
    _room: TempDir,
}

impl Step {
    /// A shell script in the test image.
    pub(crate) fn shell(script: &str) -> Self {
        Self::program(&["/bin/sh", "-c", script])
    }

    /// A program in the test image.
    pub(crate) fn program(args: &[&str]) -> Self {
        Self::over(vec![image::layer().to_owned()], args)
    }

    /// A program over other layers, bottom first.
    pub(crate) fn over(lowers: Vec<PathBuf>, args: &[&str]) -> Self {
        let room = tempfile::tempdir().unwrap();
        let [upper, work, shared] = ["upper", "work", "shared"].map(|name| room.path().join(name));
        let rootfs = RootFs { lowers, upper, work, shared };
        fs::create_dir(&rootfs.upper).unwrap();
        fs::create_dir(&rootfs.work).unwrap();
        fs::create_dir(&rootfs.shared).unwrap();
        Self { process: Process::new(args.iter().copied()), rootfs, room }
    }

    pub(crate) fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.process.user);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.process.env.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn mount(mut self, target: &str, kind: MountKind) -> Self {
        self.process.mounts.push(Mount { target: target.to_owned(), kind });
        self
    }

    /// Binds this test program as `/probe`.
    pub(crate) fn with_probe(self) -> Self {
        let source = std::env::current_exe().unwrap();
        self.mount("/probe", MountKind::Bind { source, subpath: String::new(), access: Access::ReadOnly })
    }

    pub(crate) async fn run(self) -> Ran {
        self.run_by(&Helpers::default()).await
    }

    pub(crate) async fn run_by(self, helpers: &Helpers) -> Ran {
        let (never, (output, mut chunks)) = (CancellationToken::new(), mpsc::channel::<OutputChunk>(16));
        let collect = async {
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            while let Some(chunk) = chunks.recv().await {
                match chunk.stream {
                    Stream::Stdout => stdout.extend_from_slice(&chunk.bytes),
                    Stream::Stderr => stderr.extend_from_slice(&chunk.bytes),
                }
            }
            (stdout, stderr)
        };
        let (result, (stdout, stderr)) =
            tokio::join!(helpers.run(&self.rootfs, &self.process, output, &never), collect);
        Ran {
            result,
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
            upper: self.rootfs.upper,
            _room: self.room,
        }
    }
}

impl Ran {
    /// The output of a step that must succeed.
    #[track_caller]
    pub(crate) fn ok(&self) -> &str {
        let code = self.result.as_ref().map(|status| status.code);
        assert_eq!(code, Ok(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        &self.stdout
    }

    #[track_caller]
    pub(crate) fn exited(&self, code: i32) {
        assert_eq!(self.result.as_ref().map(|status| status.code), Ok(code), "stderr: {}", self.stderr);
    }

    /// Everything in the upper directory, as `path` or `path/`, sorted; deletions as `-path`.
    pub(crate) fn changes(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.upper, &self.upper, &mut found);
        found.sort();
        found
    }
}

fn list(root: &Path, directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let looks = fs::symlink_metadata(&path).unwrap();
        if looks.is_dir() {
            found.push(format!("{name}/"));
            list(root, &path, found);
        } else if looks.rdev() == 0 && looks.mode() & libc::S_IFMT == libc::S_IFCHR {
            found.push(format!("-{name}"));
        } else {
            found.push(name);
        }
    }
}
