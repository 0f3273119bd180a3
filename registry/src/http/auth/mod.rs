//! Who may do what: users of an htpasswd file may do everything; reading may be open to everybody.

mod htpasswd;

use base64::Engine as _;
use http::{HeaderMap, header};

pub use htpasswd::{Authenticator, HtpasswdError};

use self::htpasswd::Login;
use super::{Failure, Route};

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It reads.
    Read,
    /// It writes or deletes.
    Write,
}

impl Authenticator {
    /// Who asks; [`Failure::Unauthorized`] when that must be known and is not. The ping is asked for by clients to learn
    /// how to log in, so it needs a login even where reading does not; without one, `docker login` would never ask.
    pub(super) async fn check(&self, headers: &HeaderMap, route: &Route, access: Access) -> Result<String, Failure> {
        let open = self.anonymous_pull() && access == Access::Read && *route != Route::Ping;
        match credentials(headers) {
            Some((user, password)) => match self.verify(&user, password).await {
                Login::Right => Ok(user),
                Login::Wrong => Err(Failure::Unauthorized),
                Login::Busy => Err(Failure::Busy),
            },
            None if open => Ok("anonymous".to_owned()),
            None => Err(Failure::Unauthorized),
        }
    }
}

/// User and password of a Basic `Authorization` header.
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
