//! What is added to a bill of materials in SPDX: for each file the layer that brought it, as a comment where readers of
//! `BuildKit`'s look for it, and who added that.
//!
//! Only the one about the image itself is added to: names in others are not names of the image's files. Comments of the
//! generator's own stay as they are.

use std::collections::HashMap;

use serde_json::{Value, json};
use wharf_spec::{Digest, ManifestView};

use crate::attest::Statement;
use crate::error::BuildError;
use crate::layer::LayerPath;
use crate::result::BuildResult;
use crate::scan::is_about_the_image;
use crate::solve::blocking;

/// The type of a statement that holds an SPDX document.
const SPDX: &str = "https://spdx.dev/Document";

impl BuildResult {
    /// Says in its bill of materials which of the image's layers brought which file. To be called when the layers are what
    /// they will be in the end, and once.
    pub async fn name_layers(&mut self) -> Result<(), BuildError> {
        let ManifestView::Manifest(manifest) = self.image.view() else { return Ok(()) };
        let mut wanted = Wanted::default();
        for document in self.statements.iter_mut().filter_map(document) {
            files(document).for_each(|(path, _)| wanted.name(path));
        }
        // The layer on top is the one whose file is seen; what is deleted again came with the last layer that has it.
        for (layer, descriptor) in self.files.stack.layers().iter().zip(&manifest.layers).rev() {
            if wanted.open == 0 {
                break;
            }
            let (index, digest) = (self.files.depot.index(layer, None).await?, descriptor.digest);
            wanted = blocking(move || {
                for one in index.iter().filter(|one| !one.entry.is_marker()) {
                    wanted.found(&one.entry.path, digest);
                }
                wanted
            })
            .await;
        }
        for document in self.statements.iter_mut().filter_map(document) {
            for (path, file) in files(document) {
                if let Some(Some(layer)) = wanted.layers.get(&path) {
                    file["comment"] = json!(format!("layerID: {layer}"));
                }
            }
            sign(document);
        }
        Ok(())
    }
}

/// Paths, and the layers that brought them as far as they are known.
#[derive(Default)]
struct Wanted {
    layers: HashMap<LayerPath, Option<Digest>>,
    /// How many are not known.
    open: usize,
}

impl Wanted {
    fn name(&mut self, path: LayerPath) {
        self.layers.entry(path).or_insert_with(|| {
            self.open += 1;
            None
        });
    }

    fn found(&mut self, path: &LayerPath, layer: Digest) {
        if let Some(place @ None) = self.layers.get_mut(path) {
            *place = Some(layer);
            self.open -= 1;
        }
    }
}

/// The SPDX document about the image itself, if that is what the statement holds.
fn document(statement: &mut Statement) -> Option<&mut Value> {
    let is_spdx = statement.told["predicateType"] == SPDX && statement.told["predicate"]["spdxVersion"].is_string();
    (is_spdx && is_about_the_image(&statement.name)).then(|| &mut statement.told["predicate"])
}

/// The files that have no comment, where they are: in the document, or in its packages. What is shaped otherwise is left alone.
fn files(document: &mut Value) -> impl Iterator<Item = (LayerPath, &mut Value)> {
    let (mut lists, mut packages) = (Vec::new(), Vec::new());
    for (name, value) in document.as_object_mut().into_iter().flatten() {
        match name.as_str() {
            "files" => lists.extend(value.as_array_mut()),
            "packages" => packages.extend(value.as_array_mut().into_iter().flatten()),
            _ => {}
        }
    }
    lists.extend(packages.into_iter().filter_map(|package| package.get_mut("files")?.as_array_mut()));
    lists.into_iter().flatten().filter_map(|file| {
        let without_comment = file.get("comment").is_none_or(|text| text.is_null() || text == "");
        let path = LayerPath::parse(file.get("fileName")?.as_str()?).ok()?;
        without_comment.then_some((path, file))
    })
}

/// Adds Wharf to those who made the document.
fn sign(document: &mut Value) {
    if document["creationInfo"].is_null() {
        document["creationInfo"] = json!({});
    }
    let Some(info) = document["creationInfo"].as_object_mut() else { return };
    if let Some(creators) = info.entry("creators").or_insert_with(|| json!([])).as_array_mut() {
        creators.push(json!(format!("Tool: wharf-{}", env!("CARGO_PKG_VERSION"))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(mut document: Value) -> Vec<String> {
        files(&mut document).map(|(path, _)| path.to_string()).collect()
    }

    #[test]
    fn files_without_a_comment_are_found_wherever_they_are() {
        let document = json!({
            "files": [
                { "fileName": "/bin/sh" },
                { "fileName": "./etc/passwd", "comment": "" },
                { "fileName": "bin/ls", "comment": "mine" },
                { "fileName": "../out" },
                { "fileName": 1 },
                null,
            ],
            "packages": [{ "name": "x", "files": [{ "fileName": "usr/x" }] }, { "name": "y" }, 3],
        });
        assert_eq!(paths(document), ["/bin/sh", "/etc/passwd", "/usr/x"]);
        for other in [json!({ "files": "all", "packages": {} }), json!([]), json!(null)] {
            assert!(paths(other).is_empty());
        }
    }

    #[test]
    fn whoever_adds_something_says_so() {
        let signed = |mut document: Value| {
            sign(&mut document);
            document["creationInfo"].clone()
        };
        let wharf = format!("Tool: wharf-{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(signed(json!({}))["creators"], json!([wharf]));
        let syft = json!({ "creationInfo": { "creators": ["Tool: syft-1"], "created": "2026-01-01T00:00:00Z" } });
        assert_eq!(signed(syft), json!({ "creators": ["Tool: syft-1", wharf], "created": "2026-01-01T00:00:00Z" }));
        assert_eq!(signed(json!({ "creationInfo": "odd" })), "odd");
    }

    #[test]
    fn only_the_document_about_the_image_is_one() {
        let statement = |name: &str, kind: &str, predicate: Value| Statement {
            name: name.to_owned(),
            told: json!({ "predicateType": kind, "predicate": predicate }),
            own_subjects: false,
            inline_only: false,
        };
        let spdx = json!({ "spdxVersion": "SPDX-2.3" });
        assert!(document(&mut statement("sbom.spdx.json", SPDX, spdx.clone())).is_some());
        for mut other in [
            statement("sbom-context.spdx.json", SPDX, spdx.clone()),
            statement("sbom.json", "https://cyclonedx.org/bom", spdx),
            statement("sbom.json", SPDX, json!("text")),
        ] {
            assert!(document(&mut other).is_none(), "{other:?}");
        }
    }
}
