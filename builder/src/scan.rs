//! What a generator of bills of materials wrote: in-toto statements, each a file.

use std::io::Read as _;

use serde_json::{Value, json};

use crate::attest::{PROVENANCE_PREFIX, STATEMENT, Statement};
use crate::dockerfile::{Diagnostic, Level};
use crate::error::BuildError;
use crate::layer::{Kind, LayerPath};
use crate::plan::{DESTINATION, Scan};
use crate::solve::{Contents, Depot, Stack, blocking};

/// No statement is longer.
const MOST: u64 = 80 << 20;
/// The name of the one about the image itself.
const CORE: &str = "sbom";

/// The statements in the generator's files, the one about the image itself first.
pub(crate) async fn statements(depot: &Depot, scan: &Scan, stack: &Stack) -> Result<Vec<Statement>, BuildError> {
    let tree = depot.tree(stack, None).await?;
    let directory = LayerPath::parse(DESTINATION).unwrap_or_default();
    let mut paths = Vec::new();
    for node in tree.children(&directory) {
        let entry = node.entry();
        match entry.kind {
            Kind::File { size } if size <= MOST => paths.push(entry.path.clone()),
            Kind::File { .. } => return Err(wrong(scan, &entry.path, "is too long for a statement").into()),
            _ => return Err(wrong(scan, &entry.path, "is no file").into()),
        }
    }
    if paths.is_empty() {
        let title = format!("{} wrote no bill of materials", scan.generator);
        let help = "a generator writes in-toto statements as files into the directory $BUILDKIT_SCAN_DESTINATION";
        return Err(Diagnostic::new(Level::Error, title).help(help).into());
    }
    let contents = Contents::gather(depot, (stack, &tree), &paths, None).await?;
    let read = blocking(move || {
        let read = |path: LayerPath| {
            let mut bytes = Vec::new();
            contents.open(&path)?.take(MOST).read_to_end(&mut bytes)?;
            Ok((path, bytes))
        };
        paths.into_iter().map(read).collect::<std::io::Result<Vec<_>>>()
    });
    let files = read.await.map_err(|error| BuildError::io("read a bill of materials", error))?;
    let parse =
        |(path, bytes): (LayerPath, Vec<u8>)| statement(&path, &bytes).map_err(|what| wrong(scan, &path, &what));
    let mut statements = files.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    statements.sort_by_key(|statement| !is_about_the_image(&statement.name));
    Ok(statements)
}

/// Whether a statement of this name is about the image, and not about something else that was looked at.
pub(crate) fn is_about_the_image(name: &str) -> bool {
    name.split('.').next() == Some(CORE)
}

fn wrong(scan: &Scan, path: &LayerPath, what: &str) -> Diagnostic {
    Diagnostic::new(Level::Error, format!("{} wrote {path}, which {what}", scan.generator))
        .help("a generator writes in-toto statements as JSON, one in each file")
}

fn statement(path: &LayerPath, bytes: &[u8]) -> Result<Statement, String> {
    let told: Value = serde_json::from_slice(bytes).map_err(|error| format!("is no JSON: {error}"))?;
    let kind = told["predicateType"].as_str().filter(|kind| !kind.is_empty());
    let kind = kind.ok_or("has no `predicateType`")?;
    if kind.starts_with(PROVENANCE_PREFIX) {
        return Err("claims to say where the image comes from".to_owned());
    }
    if told["predicate"].is_null() {
        return Err("has no `predicate`".to_owned());
    }
    let own_subjects = told["subject"].as_array().is_some_and(|subjects| !subjects.is_empty());
    let subject = if own_subjects { told["subject"].clone() } else { json!([]) };
    let told = json!({ "_type": STATEMENT, "predicateType": kind, "subject": subject, "predicate": told["predicate"] });
    Ok(Statement {
        name: String::from_utf8_lossy(path.file_name()).into_owned(),
        told,
        own_subjects,
        inline_only: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_held_to_their_form() {
        let path = LayerPath::parse("run/out/sbom.spdx.json").unwrap();
        let read = |text: &str| statement(&path, text.as_bytes());
        let good =
            read(r#"{"_type":"x","predicateType":"https://spdx.dev/Document","predicate":{"a":1},"subject":[]}"#);
        let good = good.unwrap();
        assert_eq!((good.name.as_str(), good.own_subjects), ("sbom.spdx.json", false));
        assert_eq!(good.told["predicate"]["a"], 1);
        assert!(read(r#"{"predicateType":"x","predicate":1,"subject":[{"name":"n"}]}"#).unwrap().own_subjects);
        for (text, words) in [
            ("{", "is no JSON"),
            ("{}", "no `predicateType`"),
            (r#"{"predicateType":"x"}"#, "no `predicate`"),
            (r#"{"predicateType":"https://slsa.dev/provenance/v1","predicate":1}"#, "where the image comes from"),
        ] {
            assert!(read(text).unwrap_err().contains(words), "{text}");
        }
    }
}
