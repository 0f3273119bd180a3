//! The build from request to result.

use crate::environment::BuildEnvironment;
use crate::error::BuildError;
use crate::request::BuildRequest;
use crate::result::BuildResult;

/// Builds one target for one platform.
///
/// The caller publishes and tags what comes back; until then nobody sees it.
pub async fn build(request: BuildRequest, environment: BuildEnvironment) -> Result<BuildResult, BuildError> {
    let _ = (request, &environment.store);
    Err(BuildError::Cancelled)
}
