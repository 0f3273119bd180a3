//! Files that `ADD` names by URL.

use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _};
use wharf_builder::{Fetch, FetchError, Fetched};
use wharf_client::ClientConfig;
use wharf_client::registry::get;

/// Gets files as the registries' client is configured: proxies, authorities, time limits.
pub struct Fetcher(pub ClientConfig);

#[async_trait]
impl Fetch for Fetcher {
    async fn get(&self, url: &str) -> Result<Fetched, FetchError> {
        let failed = |error: &dyn std::error::Error| FetchError::Failed { reason: error.to_string() };
        let answer = get(&self.0, url).await.map_err(|error| failed(&error))?;
        if !answer.status.is_success() {
            return Err(FetchError::Status { status: answer.status.as_u16() });
        }
        Ok(Fetched {
            last_modified: answer.last_modified.as_deref().and_then(http_date),
            file_name: answer.content_disposition.as_deref().and_then(file_name),
            size: answer.size,
            body: answer.body.map_err(move |error| failed(&error)).boxed(),
        })
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn http_date(text: &str) -> Option<SystemTime> {
    jiff::fmt::rfc2822::parse(text).ok().map(|time| time.timestamp().into())
}

/// The name in `attachment; filename="app.tar"`: its last component, so that it cannot lead elsewhere.
fn file_name(disposition: &str) -> Option<String> {
    let value = disposition.split(';').find_map(|part| part.trim().strip_prefix("filename="))?;
    let name = value.trim_matches('"').rsplit(['/', '\\']).next()?;
    (!name.is_empty() && name != "." && name != "..").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_names_are_read() {
        let time = http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), 784_111_777);
        assert_eq!(file_name("attachment; filename=\"../../etc/app.tar\""), Some("app.tar".to_owned()));
        assert_eq!(file_name("inline"), None);
        assert_eq!(file_name("attachment; filename=.."), None);
    }
}
