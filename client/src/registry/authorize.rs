//! Answering challenges: from what is remembered, from the credential store, from the token service.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use reqwest::{Response, StatusCode, Url};
use wharf_spec::RegistryHost;

use super::Error;
use super::answer::Context;
use super::client::{Inner, lock};
use super::exchange::{Authorization, Call};
use crate::auth::{Challenge, Credential, Scope, Secret, TokenKey, TokenReply, token_form, token_query};

/// Token answers are read this far.
const MAX_TOKEN_BODY: u64 = 1 << 20;

impl Inner {
    /// What the machine wanted to see last time; `None` when nothing is known yet.
    pub(super) async fn remembered_authorization(&self, call: &Call<'_>) -> Result<Option<Authorization>, Error> {
        if !call.endpoint.owns(&call.url) {
            return Ok(None);
        }
        let challenge = lock(&self.challenges).get(call.endpoint.base.as_str()).cloned();
        match challenge {
            None => Ok(None),
            Some(challenge) => self.authorize(call, &challenge, call.scopes).await,
        }
    }

    /// An answer to a 401; `None` when there is nothing (more) that could be said.
    pub(super) async fn answer_challenge(
        &self,
        call: &Call<'_>,
        headers: &HeaderMap,
        sent: Option<&Authorization>,
    ) -> Result<Option<Authorization>, Error> {
        let challenges = Challenge::all(headers);
        let bearer = challenges.iter().find(|challenge| matches!(challenge, Challenge::Bearer(_)));
        let Some(challenge) = bearer.or(challenges.first()) else { return Ok(None) };
        let mut scopes = call.scopes.to_vec();
        if let Challenge::Bearer(bearer) = challenge {
            // Whatever else the registry asks for in its own words.
            let asked = bearer.scope.as_deref().unwrap_or_default().split(' ').filter(|words| !words.is_empty());
            for words in asked.filter(|words| !covered(call.scopes, words)) {
                scopes.push(Scope::Other(words.to_owned()));
            }
            self.tokens.forget(&TokenKey::new(bearer, &scopes));
        }
        lock(&self.challenges).insert(call.endpoint.base.as_str().to_owned(), challenge.clone());
        let fresh = self.authorize(call, challenge, &scopes).await?;
        let same = |fresh: &Authorization| sent.is_some_and(|sent| sent.header == fresh.header);
        Ok(fresh.filter(|fresh| !same(fresh)))
    }

    async fn authorize(
        &self,
        call: &Call<'_>,
        challenge: &Challenge,
        scopes: &[Scope],
    ) -> Result<Option<Authorization>, Error> {
        let credential = self.login(&call.endpoint.host).await?;
        let known = credential.is_some();
        let header = match (challenge, credential) {
            (Challenge::Basic, Some(Credential::Password { user, secret })) => basic(&user, &secret),
            (Challenge::Basic, Some(Credential::Identity(_)) | None) => return Ok(None),
            (_, Some(Credential::Bearer(token))) => bearer(&token),
            (Challenge::Bearer(challenge), credential) => {
                let key = TokenKey::new(challenge, scopes);
                match self.tokens.get(&key, Instant::now()) {
                    Some(token) => bearer(&token),
                    None => bearer(&self.fetch_token(call, &key, credential.as_ref()).await?),
                }
            }
        };
        let header = header.ok_or_else(|| call.context().unauthorized(known, "the login cannot be sent".to_owned()))?;
        Ok(Some(Authorization { header, known }))
    }

    /// The host's credential, looked up once.
    async fn login(&self, host: &RegistryHost) -> Result<Option<Credential>, Error> {
        if let Some(known) = lock(&self.logins).get(host) {
            return Ok(known.clone());
        }
        let found = self.credentials.lookup(host).await?;
        lock(&self.logins).insert(host.clone(), found.clone());
        Ok(found)
    }

    /// Gets a token and keeps it.
    async fn fetch_token(
        &self,
        call: &Call<'_>,
        key: &TokenKey,
        credential: Option<&Credential>,
    ) -> Result<Secret, Error> {
        let doing = format!("get a token to {}", call.doing);
        let context = Context { endpoint: call.endpoint, doing: &doing };
        let realm = self.realm(context, &key.realm)?;
        let fetch = || async {
            let request = token_request(&realm, key, credential)
                .ok_or_else(|| context.unauthorized(true, "the login cannot be sent".to_owned()))?;
            let sending = self.http(&realm)?.execute(request);
            let answer = match tokio::time::timeout(self.idle(), sending).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => return Err(context.broken(&error, self.config.timeouts.connect)),
                Err(_) => return Err(context.timed_out(self.idle())),
            };
            self.read_token(context, answer, credential.is_some()).await
        };
        let (token, life) = self.retrying(context, fetch).await?;
        self.tokens.put(key.clone(), token.clone(), life, Instant::now());
        Ok(token)
    }

    /// The address of the token service. A login never travels in the clear because a registry said so.
    fn realm(&self, context: Context<'_>, realm: &str) -> Result<Url, Error> {
        let url = Url::parse(realm).ok().filter(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| context.nonsense("its token service has no valid address"))?;
        if url.scheme() == "http" && context.endpoint.base.scheme() == "https" && !self.may_be_insecure(&url) {
            return Err(context.nonsense("it wants the login sent to a token service over plain HTTP"));
        }
        Ok(url)
    }

    async fn read_token(
        &self,
        context: Context<'_>,
        answer: Response,
        known: bool,
    ) -> Result<(Secret, Duration), Error> {
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let message = match self.refusal(context, answer).await {
                    Error::Unauthorized { message, .. } | Error::Denied { message, .. } => message,
                    _ => String::new(),
                };
                return Err(context.unauthorized(known, message));
            }
            _ => return Err(self.refusal(context, answer).await),
        }
        let body = self.body(context, answer, MAX_TOKEN_BODY).await?;
        let reply = body.and_then(|body| serde_json::from_slice::<TokenReply>(&body).ok());
        let token = reply.and_then(TokenReply::into_token);
        token.ok_or_else(|| context.nonsense("the token service's answer holds no token"))
    }
}

/// Whether one of our scopes is, or includes, what a challenge asks for.
fn covered(scopes: &[Scope], words: &str) -> bool {
    let Some((resource, actions)) = words.rsplit_once(':') else { return false };
    scopes.iter().map(ToString::to_string).any(|own| {
        own.rsplit_once(':').is_some_and(|(mine, allowed)| {
            mine == resource && actions.split(',').all(|action| allowed.split(',').any(|mine| mine == action))
        })
    })
}

fn token_request(realm: &Url, key: &TokenKey, credential: Option<&Credential>) -> Option<reqwest::Request> {
    let mut request = match credential {
        Some(Credential::Identity(refresh)) => {
            let mut request = reqwest::Request::new(Method::POST, realm.clone());
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            request.headers_mut().insert(CONTENT_TYPE, form);
            *request.body_mut() = Some(token_form(key, refresh).into());
            request
        }
        Some(Credential::Password { user, secret }) => {
            let mut request = reqwest::Request::new(Method::GET, token_query(realm, key, Some(user)));
            request.headers_mut().insert(AUTHORIZATION, basic(user, secret)?);
            request
        }
        // A token for the registry is of no use at the token service.
        Some(Credential::Bearer(_)) | None => reqwest::Request::new(Method::GET, token_query(realm, key, None)),
    };
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    Some(request)
}

fn basic(user: &str, secret: &Secret) -> Option<HeaderValue> {
    sensitive(format!("Basic {}", STANDARD.encode(format!("{user}:{}", secret.reveal()))))
}

fn bearer(token: &Secret) -> Option<HeaderValue> {
    sensitive(format!("Bearer {}", token.reveal()))
}

/// A header value that no debug output shows; `None` for text that cannot stand in a header.
fn sensitive(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wider_scope_covers_a_narrower_one() {
        let push = [Scope::Push("a/b".parse().unwrap())];
        for (words, expected) in [
            ("repository:a/b:pull", true),
            ("repository:a/b:push,pull", true),
            ("repository:a/b:delete", false),
            ("repository:a:pull", false),
            ("registry:catalog:*", false),
            ("odd", false),
        ] {
            assert_eq!(covered(&push, words), expected, "{words}");
        }
    }
}
