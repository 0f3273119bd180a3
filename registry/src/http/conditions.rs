//! `If-Match` and `If-None-Match` of requests that change a tag (RFC 9110, section 13.1).

use http::{HeaderMap, HeaderName, header};

use super::Failure;
use crate::repo::{Expected, Precondition};

/// What the client thinks the tag is: `If-Match` with the manifest's `ETag` (its digest), with a history's (the version's
/// number) or `*`; `If-None-Match: *` for a tag that must not be there yet.
pub(super) fn precondition(headers: &HeaderMap) -> Result<Precondition, Failure> {
    let matches = values(headers, &header::IF_MATCH, "If-Match")?;
    let none = values(headers, &header::IF_NONE_MATCH, "If-None-Match")?;
    match (matches.as_slice(), none.as_slice()) {
        ([], []) => Ok(Precondition::None),
        (["*"], []) => Ok(Precondition::Present),
        ([], ["*"]) => Ok(Precondition::Absent),
        (tags, []) => tags.iter().map(|tag| expected(tag)).collect::<Result<_, _>>().map(Precondition::Is),
        (_, [_, ..]) => Err(wrong("If-None-Match", "can only be * here, and not together with If-Match")),
    }
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName, shown: &'static str) -> Result<Vec<&'a str>, Failure> {
    let mut values = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| wrong(shown, "is not text"))?;
        values.extend(text.split(',').map(str::trim).filter(|tag| !tag.is_empty()));
    }
    Ok(values)
}

fn expected(tag: &str) -> Result<Expected, Failure> {
    let inner = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let digest = |inner: &str| inner.parse().ok().map(Expected::Digest);
    let version = |inner: &str| inner.parse().ok().map(Expected::Version);
    inner.and_then(|inner| digest(inner).or_else(|| version(inner))).ok_or_else(|| {
        wrong("If-Match", "must be an ETag as it was answered: a digest or a version's number, in double quotes")
    })
}

fn wrong(name: &'static str, problem: &str) -> Failure {
    Failure::Header { name, problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn read(lines: &[(HeaderName, &str)]) -> Option<Precondition> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value.parse().unwrap());
        }
        precondition(&headers).ok()
    }

    #[test]
    fn etags_read_as_they_were_answered() {
        let (some, none) = (header::IF_MATCH, header::IF_NONE_MATCH);
        let digest = Expected::Digest(DIGEST.parse().unwrap());
        assert_eq!(read(&[]), Some(Precondition::None));
        assert_eq!(read(&[(some.clone(), "*")]), Some(Precondition::Present));
        assert_eq!(read(&[(none.clone(), "*")]), Some(Precondition::Absent));
        let quoted = format!("\"{DIGEST}\"");
        assert_eq!(read(&[(some.clone(), &quoted)]), Some(Precondition::Is(vec![digest])));
        let list = [(some.clone(), quoted.as_str()), (some.clone(), "\"3\", \"4\"")];
        let versions = [Expected::Version(3), Expected::Version(4)];
        assert_eq!(read(&list), Some(Precondition::Is([vec![digest], versions.to_vec()].concat())));
        for wrong in [DIGEST, "W/\"3\"", "\"x\"", "3"] {
            assert_eq!(read(&[(some.clone(), wrong)]), None, "{wrong}");
        }
        assert_eq!(read(&[(none.clone(), "\"3\"")]), None);
        assert_eq!(read(&[(some, "*"), (none, "*")]), None);
    }
}
