//! `Link: <…>; rel="next"` headers (RFC 8288): where a list goes on.

use http::header::LINK;
use reqwest::{Response, Url};

/// The next page, when the answer has one. Only at the same server: pages are no redirects.
pub(super) fn next_page(answer: &Response) -> Option<Url> {
    let values = answer.headers().get_all(LINK);
    let target = values.iter().filter_map(|value| value.to_str().ok()).find_map(next_target)?;
    let next = answer.url().join(target).ok()?;
    // Registries behind a proxy may get scheme and port wrong; the path and the query are what matters.
    let mut here = answer.url().clone();
    here.set_path(next.path());
    here.set_query(next.query());
    (here != *answer.url()).then_some(here)
}

fn next_target(value: &str) -> Option<&str> {
    let mut rest = value;
    loop {
        let (target, parameters) = rest.split_once('<')?.1.split_once('>')?;
        let end = parameters.find('<').unwrap_or(parameters.len());
        let (own, others) = parameters.split_at(end);
        let is_next = own.split([';', ',']).filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
            name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
        });
        if is_next {
            return Some(target);
        }
        rest = others;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_is_found_among_others() {
        for (value, expected) in [
            (r#"</v2/a/tags/list?last=b&n=2>; rel="next""#, Some("/v2/a/tags/list?last=b&n=2")),
            ("<x>; rel=next", Some("x")),
            (r#"<p>; rel="prev", <n>; title="a"; rel="next""#, Some("n")),
            (r#"<p>; rel="prev""#, None),
            ("nonsense", None),
            ("<unclosed", None),
        ] {
            assert_eq!(next_target(value), expected, "{value}");
        }
    }
}
