//! `docs/api.md` has every route with its methods, and no other.

use std::collections::BTreeSet;

use wharf_registry::http::TABLE;

#[test]
fn every_route_is_documented_and_nothing_else_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
    let text = std::fs::read_to_string(path).unwrap();
    // A route is a heading of the third level: ### `GET` `HEAD` `/v2/`
    let documented: BTreeSet<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .flat_map(|heading| {
            let words: Vec<_> = heading.split('`').filter(|word| !word.trim().is_empty()).collect();
            let (path, methods) = words.split_last().unwrap();
            methods.iter().map(|method| (path.to_string(), method.to_string())).collect::<Vec<_>>()
        })
        .collect();
    let table: BTreeSet<(String, String)> = TABLE
        .iter()
        .flat_map(|(path, methods)| methods.iter().map(|method| (path.to_string(), method.to_string())))
        .collect();
    assert_eq!(documented, table);
}

#[test]
fn every_error_code_that_is_answered_is_documented() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md")).unwrap();
    for code in wharf_spec::ErrorCode::ALL {
        assert!(text.contains(&format!("| `{code}` |")), "{code}");
    }
}
