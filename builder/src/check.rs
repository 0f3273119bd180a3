//! Questions about a Dockerfile that need no build: what the linter says, which targets there are, what a target takes.

use crate::base::BaseImages;
use crate::dockerfile::lint::{Finding, fails_on_findings};
use crate::dockerfile::outline::{Outline, Target};
use crate::dockerfile::{Diagnostic, outline as language, parse};
use crate::error::BuildError;
use crate::plan;
use crate::policy::Governed;
use crate::request::BuildRequest;
use crate::settings::known_language;

/// What the linter says about a file.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What it found, in the order of places.
    pub findings: Vec<Finding>,
    /// What would end a build before its first step, when something would.
    pub error: Option<Diagnostic>,
    /// Whether the file itself asks that findings fail its build.
    pub strict: bool,
}

/// Checks the stages `request` names, or all. Base images are looked at where they can be had; nothing is built.
pub async fn check(request: &BuildRequest, bases: &dyn BaseImages) -> Checked {
    let failed = |error| Checked { findings: Vec::new(), error: Some(error), strict: false };
    let file = match known_language(request).and_then(|()| parse(&request.dockerfile.text)) {
        Ok(file) => file,
        Err(error) => return failed(error),
    };
    let strict = fails_on_findings(&file, &request.build_args);
    match plan::check(request, &file, &Governed::new(bases, &request.policies)).await {
        Ok(findings) => Checked { findings, error: None, strict },
        Err(error) => failed(error),
    }
}

/// The targets of the file `request` is about.
pub fn targets(request: &BuildRequest) -> Result<Vec<Target>, BuildError> {
    known_language(request)?;
    Ok(language::targets(&parse(&request.dockerfile.text)?))
}

/// What the target of `request` takes: arguments, secrets, agents, caches.
pub fn outline(request: &BuildRequest) -> Result<Outline, BuildError> {
    known_language(request)?;
    let file = parse(&request.dockerfile.text)?;
    let (target, needed) = plan::reached(request, &file)?;
    Ok(language::outline(&file, &request.build_args, target, &needed))
}
