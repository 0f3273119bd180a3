//! `WORKDIR`, and who owns what the builder makes.

use std::io::Read as _;
use std::sync::Arc;

use super::blame;
use super::copy_layer::{Opener, Writing};
use super::layer::{Layer, Stack};
use super::solver::Solver;
use super::stage_files::{Contents, StageFiles};
use super::transport::blocking;
use crate::copy::{Database, Layout, Owner, OwnerSpec, Rules};
use crate::dockerfile::Diagnostic;
use crate::error::BuildError;
use crate::files::resolve;
use crate::layer::{Kind, LayerPath};
use crate::plan::{MakeDirectory, Step};

/// No user database is larger.
const MOST_USERS: u64 = 10 << 20;

impl Solver<'_> {
    /// Makes a directory and what is missing above it; what is there stays as it is.
    pub(super) async fn make_directory(
        &self,
        step: &Step,
        make: &MakeDirectory,
        before: &Stack,
    ) -> Result<Layer, BuildError> {
        let below = self.depot.tree(before, Some(step.id)).await?;
        let owner = match make.user.as_str() {
            "" => None,
            // The user may be made later; until then the directory is root's.
            user => match self.owner(user, before, step).await {
                Ok(owner) => Some(owner),
                Err(BuildError::Dockerfile(_)) => None,
                Err(error) => return Err(error),
            },
        };
        let ready = {
            let mut layout = Layout::new(&below, Rules { owner, mode: None });
            layout.make_directories(&make.path).map_err(|error| blame::place(&error, step.span))?;
            layout.finish()
        };
        self.write_layer(step, Writing { ready, opener: Opener::Nothing }).await
    }

    /// Resolves `user[:group]` in the files of `stack`.
    pub(super) async fn owner(&self, text: &str, stack: &Stack, step: &Step) -> Result<Owner, BuildError> {
        let spec = OwnerSpec::parse(text);
        let (mut passwd, mut group) = (Vec::new(), Vec::new());
        for database in spec.needs() {
            let bytes = self.read_file(database.file(), stack, step).await?;
            match database {
                Database::Passwd => passwd = bytes,
                Database::Group => group = bytes,
            }
        }
        Ok(spec.resolve(&passwd, &group).map_err(|error| blame::owner(&error, step.span))?)
    }

    /// A small file of a stack; empty when there is none.
    async fn read_file(&self, path: &str, stack: &Stack, step: &Step) -> Result<Vec<u8>, BuildError> {
        let tree = self.depot.tree(stack, Some(step.id)).await?;
        let files = StageFiles { tree: Arc::clone(&tree) };
        let wanted = LayerPath::parse(path).unwrap_or_default();
        let found = resolve(&files, &wanted).map_err(|error| blame::files(&error, step.span))?;
        let Some(found) = found else { return Ok(Vec::new()) };
        if !matches!(found.entry.kind, Kind::File { size } if size <= MOST_USERS) {
            return Err(Diagnostic::error(format!("{path} of the image is no file that names users"), step.span).into());
        }
        let path = found.entry.path;
        let contents =
            Contents::gather(&self.depot, (stack, &tree), std::slice::from_ref(&path), Some(step.id)).await?;
        let read = blocking(move || {
            let mut bytes = Vec::new();
            contents.open(&path)?.take(MOST_USERS).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        read.await.map_err(|error: std::io::Error| BuildError::io("read a file of the image", error))
    }
}
