//! Lists: a repository's tags, a registry's repositories (distribution-spec, "Content Discovery"; Docker's `_catalog`).

use http::Method;
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wharf_spec::{RegistryHost, RepositoryName, Tag};

use super::RemoteRepository;
use super::client::{Client, Inner};
use super::endpoint::Endpoint;
use super::exchange::Call;
use super::link::next_page;
use crate::auth::Scope;
use crate::transfer::Result;

/// What is asked for at once; some registries refuse more.
const PAGE: &str = "1000";

/// A registry that goes on longer than this goes on for ever.
const MAX_PAGES: usize = 10_000;

/// A page is read this far.
pub(super) const MAX_PAGE: u64 = 16 << 20;

/// `null` for a repository without tags is common.
#[derive(Deserialize)]
struct TagPage {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct CatalogPage {
    repositories: Option<Vec<String>>,
}

impl RemoteRepository {
    /// All tags, in the registry's order; `None` when it does not know the repository. What is no valid tag is left out.
    pub async fn tags(&self) -> Result<Option<Vec<Tag>>> {
        let doing = format!("list the tags of {}/{}", self.host(), self.name());
        let (endpoint, scopes) = (self.origin_endpoint().await, [Scope::Pull(self.name().clone())]);
        let mut url = endpoint.url(self.name(), "tags/list");
        url.query_pairs_mut().append_pair("n", PAGE);
        let listing = Listing { inner: self.inner(), endpoint: &endpoint, scopes: &scopes, doing: &doing };
        let Some(pages) = listing.pages::<TagPage>(url).await? else { return Ok(None) };
        let tags = pages.into_iter().filter_map(|page| page.tags).flatten();
        Ok(Some(tags.filter_map(|tag| tag.parse().ok()).collect()))
    }
}

impl Client {
    /// All repositories of a registry that tells.
    pub async fn catalog(&self, host: &RegistryHost) -> Result<Vec<RepositoryName>> {
        let doing = format!("list the repositories of {host}");
        let endpoint = self.settled(Endpoint::origin(host)).await;
        let mut url = endpoint.api("_catalog");
        url.query_pairs_mut().append_pair("n", PAGE);
        let listing = Listing { inner: &self.inner, endpoint: &endpoint, scopes: &[Scope::Catalog], doing: &doing };
        let pages = listing.pages::<CatalogPage>(url).await?.unwrap_or_default();
        let names = pages.into_iter().filter_map(|page| page.repositories).flatten();
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }
}

/// A list in pages.
pub(super) struct Listing<'a> {
    pub(super) inner: &'a Inner,
    pub(super) endpoint: &'a Endpoint,
    pub(super) scopes: &'a [Scope],
    pub(super) doing: &'a str,
}

impl Listing<'_> {
    /// All pages; `None` when there is no such list.
    pub(super) async fn pages<T: DeserializeOwned>(&self, first: Url) -> Result<Option<Vec<T>>> {
        let mut pages = Vec::new();
        let mut next = Some(first);
        while let Some(url) = next {
            let call = Call::new(self.endpoint, Method::GET, url, self.scopes, self.doing);
            if pages.len() == MAX_PAGES {
                return Err(call.context().nonsense("its list has no end").into());
            }
            let get = || self.page::<T>(&call);
            let Some((page, following)) = self.inner.retrying(call.context(), get).await? else { return Ok(None) };
            pages.push(page);
            next = following;
        }
        Ok(Some(pages))
    }

    async fn page<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<Option<(T, Option<Url>)>> {
        let answer = self.inner.exchange(call).await?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(self.inner.refusal(call.context(), answer).await.into()),
        }
        let next = next_page(&answer);
        Ok(Some((self.parse(call, answer).await?, next)))
    }

    async fn parse<T: DeserializeOwned>(&self, call: &Call<'_>, answer: Response) -> Result<T> {
        let body = self.inner.body(call.context(), answer, MAX_PAGE).await?;
        let page = body.and_then(|body| serde_json::from_slice(&body).ok());
        page.ok_or_else(|| call.context().nonsense("its list is not the JSON it should be").into())
    }
}
