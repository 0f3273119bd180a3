//! Tokens of Docker's token protocol: what is asked for, what comes back, and how long it is good.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use serde::Deserialize;
use wharf_spec::RepositoryName;

use super::{BearerChallenge, Secret};

/// What a token lasts when the service does not say (Docker token specification).
const DEFAULT_LIFE: Duration = Duration::from_mins(1);

/// A token this close to its end is not used any more: the request must still arrive.
const MARGIN: Duration = Duration::from_secs(10);

/// The name of this client at token services.
const CLIENT_ID: &str = "wharf";

/// What a token allows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Reading a repository.
    Pull(RepositoryName),
    /// Reading and writing a repository.
    Push(RepositoryName),
    /// Deleting from a repository.
    Delete(RepositoryName),
    /// Listing the registry's repositories.
    Catalog,
    /// What a registry's challenge asked for in its own words.
    Other(String),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pull(name) => write!(f, "repository:{name}:pull"),
            Self::Push(name) => write!(f, "repository:{name}:pull,push"),
            Self::Delete(name) => write!(f, "repository:{name}:delete,pull"),
            Self::Catalog => f.write_str("registry:catalog:*"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

/// What a token is good for: where it came from and what it allows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TokenKey {
    pub(crate) realm: String,
    pub(crate) service: Option<String>,
    pub(crate) scopes: Vec<String>,
}

impl TokenKey {
    pub(crate) fn new(challenge: &BearerChallenge, scopes: &[Scope]) -> Self {
        let mut scopes: Vec<String> = scopes.iter().map(ToString::to_string).collect();
        scopes.sort();
        scopes.dedup();
        Self { realm: challenge.realm.clone(), service: challenge.service.clone(), scopes }
    }
}

/// A token service's answer.
#[derive(Deserialize)]
pub(crate) struct TokenReply {
    token: Option<Secret>,
    access_token: Option<Secret>,
    expires_in: Option<u64>,
}

impl TokenReply {
    /// The token, under either of its names.
    pub(crate) fn into_token(self) -> Option<(Secret, Duration)> {
        let life = self.expires_in.map_or(DEFAULT_LIFE, Duration::from_secs);
        let token = self.token.or(self.access_token).filter(|token| !token.is_empty())?;
        Some((token, life))
    }
}

/// The tokens of this process.
#[derive(Default)]
pub(crate) struct TokenCache {
    tokens: Mutex<HashMap<TokenKey, (Secret, Instant)>>,
}

impl TokenCache {
    /// A token that is still good at `now`.
    pub(crate) fn get(&self, key: &TokenKey, now: Instant) -> Option<Secret> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(key).filter(|(_, end)| now < *end).map(|(token, _)| token.clone())
    }

    /// Keeps a token got at `now`.
    pub(crate) fn put(&self, key: TokenKey, token: Secret, life: Duration, now: Instant) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, (_, end)| now < *end);
        tokens.insert(key, (token, now + life.saturating_sub(MARGIN)));
    }

    /// Forgets a token that the registry did not take.
    pub(crate) fn forget(&self, key: &TokenKey) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// The address to get a token from with a user and password, or anonymously.
pub(crate) fn token_query(realm: &Url, key: &TokenKey, user: Option<&str>) -> Url {
    let mut url = realm.clone();
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &key.service {
            query.append_pair("service", service);
        }
        for scope in &key.scopes {
            query.append_pair("scope", scope);
        }
        query.append_pair("client_id", CLIENT_ID);
        if let Some(user) = user {
            query.append_pair("account", user);
        }
    }
    url
}

/// The form to post for a token in exchange for a refresh token.
pub(crate) fn token_form(key: &TokenKey, refresh: &Secret) -> String {
    let mut form = Url::parse("form:").expect("a constant address");
    {
        let mut pairs = form.query_pairs_mut();
        pairs.append_pair("grant_type", "refresh_token");
        pairs.append_pair("client_id", CLIENT_ID);
        if let Some(service) = &key.service {
            pairs.append_pair("service", service);
        }
        if !key.scopes.is_empty() {
            pairs.append_pair("scope", &key.scopes.join(" "));
        }
        pairs.append_pair("refresh_token", refresh.reveal());
    }
    form.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scopes: &[Scope]) -> TokenKey {
        let challenge = BearerChallenge {
            realm: "https://auth.example/token".into(),
            service: Some("r.example".into()),
            ..BearerChallenge::default()
        };
        TokenKey::new(&challenge, scopes)
    }

    fn name(text: &str) -> RepositoryName {
        text.parse().unwrap()
    }

    #[test]
    fn a_token_is_used_until_shortly_before_its_end_and_only_for_its_scopes() {
        let cache = TokenCache::default();
        let now = Instant::now();
        let (one, both) = (key(&[Scope::Pull(name("a"))]), key(&[Scope::Pull(name("b")), Scope::Pull(name("a"))]));
        cache.put(one.clone(), Secret::new("t"), Duration::from_mins(5), now);
        assert_eq!(cache.get(&one, now + Duration::from_secs(289)), Some(Secret::new("t")));
        assert_eq!(cache.get(&one, now + Duration::from_secs(291)), None);
        assert_eq!(cache.get(&both, now), None);
        cache.forget(&one);
        assert_eq!(cache.get(&one, now), None);
    }

    #[test]
    fn the_order_of_scopes_does_not_matter() {
        let (a, b) = (Scope::Push(name("a")), Scope::Pull(name("b")));
        assert_eq!(key(&[a.clone(), b.clone(), a.clone()]), key(&[b, a]));
    }

    #[test]
    fn requests_are_written_as_the_token_specification_shows_them() {
        let key = key(&[Scope::Push(name("a/b")), Scope::Pull(name("c"))]);
        let realm = Url::parse("https://auth.example/token?x=1").unwrap();
        assert_eq!(
            token_query(&realm, &key, Some("bob")).as_str(),
            "https://auth.example/token?x=1&service=r.example&scope=repository%3Aa%2Fb%3Apull%2Cpush\
             &scope=repository%3Ac%3Apull&client_id=wharf&account=bob"
        );
        assert_eq!(
            token_form(&key, &Secret::new("r&t")),
            "grant_type=refresh_token&client_id=wharf&service=r.example\
             &scope=repository%3Aa%2Fb%3Apull%2Cpush+repository%3Ac%3Apull&refresh_token=r%26t"
        );
    }

    #[test]
    fn a_token_has_two_names_and_may_not_say_how_long_it_lasts() {
        let parse = |json: &str| serde_json::from_str::<TokenReply>(json).unwrap().into_token();
        assert_eq!(parse(r#"{"token":"a","expires_in":300}"#), Some((Secret::new("a"), Duration::from_mins(5))));
        assert_eq!(parse(r#"{"access_token":"b"}"#), Some((Secret::new("b"), DEFAULT_LIFE)));
        assert_eq!(parse(r#"{"token":""}"#), None);
    }
}
