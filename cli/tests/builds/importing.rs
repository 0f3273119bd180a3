//! `wharf import`: a root file system becomes an image.

use serde_json::Value;

use crate::support::Desk;
use crate::support::fixture::layer;

#[test]
fn a_tar_becomes_an_image() {
    let desk = Desk::new();
    desk.write("root fs*.tar", layer("etc/motd", b"hello\n"));
    desk.good(&[
        "import",
        "root fs*.tar",
        "base:1",
        "-c",
        "CMD [\"/bin/sh\"]",
        "-c",
        "ENV A=b",
        "--platform",
        "linux/arm64",
    ]);
    let config: Value = serde_json::from_str(&desk.good(&["inspect", "--image-config", "base:1"])).expect("JSON");
    assert_eq!(config["config"]["Cmd"][0], "/bin/sh");
    assert_eq!(config["architecture"], "arm64");
    desk.write("context/Dockerfile", "FROM base:1\nCOPY Dockerfile /\n");
    desk.good(&["build", "--platform", "linux/arm64", "-o", "out", "context"]);
    assert_eq!(std::fs::read_to_string(desk.path("out/etc/motd")).expect("a file"), "hello\n");
}

#[test]
fn standard_input_works_too() {
    let desk = Desk::new();
    // A tar of text and zeros is UTF-8.
    let tar = String::from_utf8(layer("motd", b"hello\n")).expect("UTF-8");
    let finished = desk.run_with(desk.command(&["import", "-", "base:1"]), &tar);
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(finished.stdout.starts_with("sha256:"), "{finished}");
}

#[test]
fn what_is_no_root_file_system_is_refused() {
    let desk = Desk::new();
    desk.write("text", "no tar\n");
    desk.write("cut.tar", &layer("large", &vec![7; 70_000])[..20_000]);
    desk.write("empty.tar", [0; 1024]);
    desk.write("good.tar", layer("motd", b"hello\n"));
    let lines: [&[&str]; 6] = [
        &["import", "nowhere.tar", "base:1"],
        &["import", "text", "base:1"],
        &["import", "cut.tar", "base:1"],
        &["import", "empty.tar", "base:1"],
        &["import", "good.tar", "base:1", "--change", "RUN make"],
        &["import", "good.tar", "base:1", "--change", "EXPOSE many"],
    ];
    let shown = lines.map(|line| desk.run(line).without(&[]));
    insta::assert_snapshot!(shown.join("\n"));
    assert_eq!(desk.good(&["images", "--json"]), "[]\n");
}
