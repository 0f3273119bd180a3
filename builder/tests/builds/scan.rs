//! Bills of materials: a generator's image looks at what was built.

use std::collections::BTreeMap;

use wharf_builder::attest::Generator;
use wharf_builder::layer::LayerFormat;
use wharf_builder::sandbox::Tier;
use wharf_builder::{BuildRequest, BuildResult, ImageName, LayerCompression};
use wharf_spec::ManifestView;

use crate::fixture::{World, explain, outcomes};
use crate::support::image;

/// Writes a statement for each thing it is shown, which tells what files are in it.
const SCANNER: &str = r#"
for thing in $BUILDKIT_SCAN_SOURCE ${BUILDKIT_SCAN_SOURCE_EXTRAS:-/none}/*; do
  [ -d $thing ] || continue
  files=$(cd $thing; echo *)
  printf '{"predicateType":"https://spdx.dev/Document","predicate":{"files":"%s","depth":"%s","by":"%s"}}' \
    "$files" "$BUILDKIT_SCAN_DEPTH" "$NAME" > $BUILDKIT_SCAN_DESTINATION/${thing##*/}.spdx.json
done
if touch $BUILDKIT_SCAN_SOURCE/mine 2> /tmp/said; then exit 9; fi
"#;

fn world(script: &str) -> Option<World> {
    if let Tier::None { reason } = Tier::current() {
        println!("skipped: {reason}");
        return None;
    }
    let mut world = World::with(&[("a", "1"), ("b", "2")]);
    world.bases.add("scanner", &[image::layer()], |config| {
        config.config.env = vec!["PATH=/usr/bin".to_owned(), "NAME=scanner".to_owned()];
        config.config.entrypoint = Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()]);
    });
    Some(world)
}

fn request(world: &World, text: &str, generator: &str) -> BuildRequest {
    let mut request = world.request(text);
    let parameters = BTreeMap::from([("DEPTH".to_owned(), "all".to_owned())]);
    let image = ImageName::Reference(generator.parse().unwrap());
    request.generator = Some(Generator { image, parameters });
    request
}

#[tokio::test]
async fn a_generator_sees_the_image_and_what_else_it_is_shown() {
    let Some(world) = world(SCANNER) else { return };
    let text = "FROM scratch AS one\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nCOPY a /in-one\n\
                FROM scratch AS two\nCOPY a /in-two\n\
                FROM scratch\nARG BUILDKIT_SBOM_SCAN_CONTEXT=1\nCOPY --from=one / /\nCOPY --from=two / /\n";
    let result = world.build_request(request(&world, text, "scanner")).await;
    let told: Vec<_> = result.statements.iter().map(|one| (one.name.as_str(), &one.told["predicate"])).collect();
    let expected =
        [("sbom.spdx.json", "in-one in-two"), ("sbom-context.spdx.json", "a b"), ("sbom-one.spdx.json", "in-one")];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for ((name, predicate), (expected, files)) in told.into_iter().zip(expected) {
        assert_eq!((name, predicate["files"].as_str()), (expected, Some(files)));
        assert_eq!((predicate["depth"].as_str(), predicate["by"].as_str()), (Some("all"), Some("scanner")));
    }
    assert!(result.statements.iter().all(|one| one.told["predicateType"] == "https://spdx.dev/Document"));
    assert!(result.bases.is_empty(), "the generator has no part in the image: {:?}", result.bases);
    assert_eq!(result.config.rootfs.diff_ids.len(), 2);
    let again = world.build_request(request(&world, text, "scanner")).await;
    assert!(outcomes(&again).iter().all(|step| step.ends_with("cached")), "{:?}", outcomes(&again));
    assert_eq!(again.statements, result.statements);
}

/// Writes an SPDX document that names these files.
const SPDX: &str = r#"
for file in kept changed deleted directory/below nowhere; do
  files="$files,{\"fileName\":\"/$file\"}"
done
printf '{"predicateType":"https://spdx.dev/Document","predicate":{"spdxVersion":"SPDX-2.3","files":[%s]}}' \
  "${files#,},{\"fileName\":\"kept\",\"comment\":\"mine\"}" > $BUILDKIT_SCAN_DESTINATION/sbom.spdx.json
"#;

#[tokio::test]
async fn files_are_told_the_layer_that_brought_them() {
    let Some(mut world) = world(SPDX) else { return };
    world.bases.add("base", &[image::layer()], |_| ());
    let text = "FROM base\nCOPY a /kept\nCOPY a /changed\nCOPY a /deleted\nCOPY b /changed\n\
                RUN rm /deleted && mkdir /directory && touch /directory/below\n";
    let mut result = world.build_request(request(&world, text, "scanner")).await;
    let comments = |result: &BuildResult| {
        let files = result.statements[0].told["predicate"]["files"].as_array().unwrap().clone();
        files.iter().map(|file| file["comment"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let expected = |result: &BuildResult| {
        let ManifestView::Manifest(manifest) = result.image.view() else { panic!("an image") };
        let layer = |at: usize| Some(format!("layerID: {}", manifest.layers[at].digest));
        // The base, and then a layer for each line.
        vec![layer(1), layer(4), layer(3), layer(5), None, Some("mine".to_owned())]
    };
    let mut again = result.clone();
    result.name_layers().await.unwrap();
    assert_eq!(comments(&result), expected(&result));
    let creators = result.statements[0].told["predicate"]["creationInfo"]["creators"].as_array().unwrap();
    assert!(creators[0].as_str().unwrap().starts_with("Tool: wharf-"), "{creators:?}");
    // Layers that are compressed anew have other names.
    again.recompress(LayerCompression { format: LayerFormat::Uncompressed, level: None }).await.unwrap();
    again.name_layers().await.unwrap();
    assert_eq!(comments(&again), expected(&again));
    assert_ne!(comments(&again), comments(&result));
}

#[tokio::test]
async fn nothing_is_something_to_look_at() {
    let Some(world) = world(SCANNER) else { return };
    let result = world.build_request(request(&world, "FROM scratch\nLABEL a=b\n", "scanner")).await;
    assert_eq!(result.statements[0].told["predicate"]["files"], "*", "an empty directory");
}

#[tokio::test]
async fn a_generator_that_does_not_generate_is_named() {
    for (script, words) in [
        ("exit 3", vec!["exit code 3", "this is scanner, which was to write a bill of materials"]),
        ("true", vec!["scanner wrote no bill of materials", "$BUILDKIT_SCAN_DESTINATION"]),
        ("echo {} > /run/out/x.json", vec!["scanner wrote /run/out/x.json, which has no `predicateType`"]),
        ("mkdir /run/out/x", vec!["scanner wrote /run/out/x, which is no file"]),
    ] {
        let Some(world) = world(script) else { return };
        let text = "FROM scratch\nCOPY a /\n";
        let error = world.try_build(request(&world, text, "scanner")).await.unwrap_err();
        let message = explain(&error, text);
        for word in words {
            assert!(message.contains(word), "{message}");
        }
    }
    let world = World::with(&[("a", "1")]);
    let text = "FROM scratch\nCOPY a /\n";
    let error = world.try_build(request(&world, text, "nowhere")).await.unwrap_err();
    let message = explain(&error, text);
    assert!(
        message.contains("the generator of bills of materials cannot be had: image nowhere not found"),
        "{message}"
    );
    assert!(message.contains("--sbom=generator=IMAGE"), "{message}");
}
