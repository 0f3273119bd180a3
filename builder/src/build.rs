//! The build from request to result: parse, plan, solve, assemble.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use tokio_util::sync::CancellationToken;

use crate::attest::UsedImage;
use crate::dockerfile::lint::fails_on_findings;
use crate::dockerfile::parse;
use crate::environment::BuildEnvironment;
use crate::error::BuildError;
use crate::event::BuildEvent;
use crate::image::{Assembled, assemble};
use crate::plan::{Plan, PlannedStage, Remarks, Root, Scan, epoch_source, plan};
use crate::policy::Governed;
use crate::request::{BaseLayers, BuildRequest};
use crate::result::{BuildResult, ResultFiles};
use crate::scan::statements;
use crate::settings::{epoch_stage, known_language, set_epoch, settle};
use crate::solve::{CacheDir, Depot, Need, Reporter, Solver, time_of};

/// Builds one target for one platform.
///
/// The configuration and all new layers are live in the store when this returns, and so are the base's if the request says
/// so; the caller publishes and tags what comes back, and until then nobody sees it. When it fails or is dropped, every
/// process it started is gone, and results of steps that had succeeded stay known.
pub async fn build(request: BuildRequest, environment: BuildEnvironment) -> Result<BuildResult, BuildError> {
    let mut request = settle(&request)?;
    known_language(&request)?;
    let reporter = Arc::new(Reporter::new(environment.events.clone(), Arc::clone(&environment.store.clock)));
    let file = parse(&request.dockerfile.text)?;
    let cache = CacheDir::enter(&environment.cache_dir, environment.store.ids.fresh())
        .map_err(|source| BuildError::io(format!("use {}", environment.cache_dir.display()), source))?;
    let depot =
        Depot::new(environment.store.blobs(), Arc::new(cache), Arc::clone(&reporter), environment.together.clone());
    if let Some(stage) = epoch_stage(&request) {
        let source = epoch_source(&request, &file, stage)?;
        let time =
            or_cancelled(&environment.cancel, Box::pin(time_of(&source, &request, &environment, &depot))).await?;
        set_epoch(request.to_mut(), time);
    }
    let request = &*request;
    let bases = Governed::new(&*environment.bases, &request.policies);
    let planned = or_cancelled(&environment.cancel, Box::pin(async { Ok(plan(request, &file, &bases).await?) }));
    let (plan, remarks) = planned.await?;
    let Remarks { warnings, findings } = remarks;
    if fails_on_findings(&file, &request.build_args) && !findings.is_empty() {
        return Err(BuildError::Findings(findings));
    }
    reporter.send(BuildEvent::Planned(plan.steps.clone()));
    for warning in &warnings {
        reporter.send(BuildEvent::Warning(warning.clone()));
    }
    let solver = Solver::new(&plan, request, &environment, depot.clone(), Arc::clone(&reporter));
    let stack = or_cancelled(
        &environment.cancel,
        Box::pin(async {
            let stack = solver.stage(plan.target, Need::Live).await?;
            if request.base_layers == BaseLayers::Fetch {
                depot.fetch_all(&stack).await?;
            }
            let statements = match &plan.scan {
                Some(scan) => {
                    let scanned =
                        solver.stage(scan.stage, Need::Live).await.map_err(|error| by_generator(error, scan))?;
                    statements(&depot, scan, &scanned).await?
                }
                None => Vec::new(),
            };
            Ok((stack, statements))
        }),
    );
    let stack = stack.await;
    solver.keep_hashes();
    // Steps that went well are remembered, also when a later one did not.
    let remembered = solver.remembered().await;
    let (stack, statements) = match (stack, remembered) {
        // A layer that does not come into the store is what ends the rest.
        (Err(BuildError::Cancelled), Err(error)) => return Err(error),
        (stack, remembered) => {
            let stack = stack?;
            remembered?;
            stack
        }
    };
    let now = reporter.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let (mounts, missed) = if request.mounts.export {
        or_cancelled(&environment.cancel, Box::pin(solver.pack_mounts())).await?
    } else {
        (Vec::new(), Vec::new())
    };
    for warning in &missed {
        reporter.send(BuildEvent::Warning(warning.clone()));
    }
    let (made, made_for_target) = solver.made_by_steps(&stack);
    let inline = if request.inline_cache { &made[..made_for_target] } else { &[] };
    let Assembled { config, config_bytes, manifest } =
        assemble((&plan.stages[plan.target.0], &stack), request, inline, now);
    depot.blobs().put(config_bytes.into()).await?;
    let steps = reporter.finish(&plan.steps);
    let bases = used_images(&plan);
    Ok(BuildResult {
        image: manifest,
        config,
        steps,
        made,
        made_for_target,
        mounts,
        bases,
        statements,
        source_date_epoch: request.source_date_epoch,
        warnings: warnings.into_iter().chain(missed).collect(),
        findings,
        files: ResultFiles { depot, stack },
    })
}

/// Says that it is no step of the Dockerfile that failed.
fn by_generator(error: BuildError, scan: &Scan) -> BuildError {
    match error {
        BuildError::Dockerfile(diagnostics) => {
            let note = format!("this is {}, which was to write a bill of materials", scan.generator);
            BuildError::Dockerfile(diagnostics.into_iter().map(|one| one.note(note.clone())).collect())
        }
        error => error,
    }
}

/// Each image once, by name. The generator has no part in the image.
fn used_images(plan: &Plan) -> Vec<UsedImage> {
    let used = |stage: &PlannedStage| match &stage.root {
        Root::Image(image) => Some(UsedImage {
            name: image.found.clone(),
            digest: image.manifest.digest(),
            platform: stage.platform.to_string(),
            layers: image.manifest.blobs().iter().skip(1).map(|layer| layer.digest).collect(),
        }),
        Root::Scratch | Root::Stage(_) => None,
    };
    let scan = plan.scan.as_ref().map(|scan| scan.stage.0);
    let stages = plan.stages.iter().enumerate().filter(|(at, _)| Some(*at) != scan).map(|(_, stage)| stage);
    stages.filter_map(used).collect::<BTreeSet<_>>().into_iter().collect()
}

async fn or_cancelled<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, BuildError>>,
) -> Result<T, BuildError> {
    tokio::select! {
        done = work => done,
        () = cancel.cancelled() => Err(BuildError::Cancelled),
    }
}
