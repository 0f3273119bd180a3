//! `WWW-Authenticate` headers (RFC 9110, section 11.6.1): what a registry wants to see.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// One challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password in every request.
    Basic,
    /// A token from somewhere else.
    Bearer(BearerChallenge),
}

/// Where a token comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BearerChallenge {
    /// The address of the token service.
    pub(crate) realm: String,
    /// The name of the registry at the token service.
    pub(crate) service: Option<String>,
    /// What the token must allow, space-separated.
    pub(crate) scope: Option<String>,
    /// Why the last token was not taken: `insufficient_scope`, `invalid_token`.
    pub(crate) error: Option<String>,
}

impl Challenge {
    /// All challenges of an answer that Wharf understands, in the order sent. A Bearer without a realm is none.
    pub(crate) fn all(headers: &HeaderMap) -> Vec<Self> {
        headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| split(value).into_iter().filter_map(Raw::understand))
            .collect()
    }
}

/// A scheme and its parameters, lower-case names.
struct Raw {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Raw {
    fn understand(self) -> Option<Challenge> {
        let get = |name: &str| self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        match self.scheme.as_str() {
            "basic" => Some(Challenge::Basic),
            "bearer" => Some(Challenge::Bearer(BearerChallenge {
                realm: get("realm")?,
                service: get("service"),
                scope: get("scope"),
                error: get("error"),
            })),
            _ => None,
        }
    }
}

/// Splits one header value, which may hold several challenges.
fn split(value: &str) -> Vec<Raw> {
    let mut found: Vec<Raw> = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = take_token(rest);
        if word.is_empty() {
            return found;
        }
        let next = after.trim_start();
        match (next.strip_prefix('='), found.last_mut()) {
            (Some(quoted), Some(challenge)) => {
                let (text, left) = take_value(quoted.trim_start());
                challenge.parameters.push((word.to_ascii_lowercase(), text));
                rest = left;
            }
            // A parameter before any scheme: not a challenge.
            (Some(_), None) => return found,
            (None, _) => {
                found.push(Raw { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
                rest = after;
            }
        }
    }
}

fn take_token(text: &str) -> (&str, &str) {
    let end = text.find([' ', '\t', ',', '=', '"']).unwrap_or(text.len());
    text.split_at(end)
}

/// A token or a quoted string, unescaped.
fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (token, rest) = take_token(text);
        return (token.to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[&str]) -> Vec<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
        }
        Challenge::all(&headers)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer(BearerChallenge {
            realm: realm.into(),
            service: service.map(Into::into),
            scope: scope.map(Into::into),
            error: None,
        })
    }

    #[test]
    fn the_usual_challenges_are_understood() {
        assert_eq!(
            parse(&[
                r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#
            ]),
            [bearer("https://auth.example/token", Some("registry.example"), Some("repository:a/b:pull,push"))]
        );
        assert_eq!(parse(&[r#"Basic realm="x, \"y\"""#]), [Challenge::Basic]);
        assert_eq!(parse(&["basic"]), [Challenge::Basic]);
        assert_eq!(
            parse(&[r"BEARER Realm=https://a.example/t , service=s"]),
            [bearer("https://a.example/t", Some("s"), None)]
        );
    }

    #[test]
    fn several_challenges_come_in_their_order() {
        let both = [bearer("r", None, None), Challenge::Basic];
        assert_eq!(parse(&[r#"Bearer realm="r", Basic realm="x""#]), both);
        assert_eq!(parse(&[r#"Bearer realm="r""#, r#"Negotiate, Basic realm="x""#]), both);
    }

    #[test]
    fn nonsense_is_no_challenge() {
        for value in ["", ",,", "Bearer", "=x", "Digest realm=\"x\"", "Bearer scope=\"x"] {
            assert_eq!(parse(&[value]), [], "{value}");
        }
    }
}
