//! Where the result of a build goes.

use std::fs;

use serde_json::Value;

use crate::support::counting::Proxy;
use crate::support::server::Server;
use crate::support::{Desk, holds};
use crate::{BASE, run_works};

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("context/hello.txt", "hello\n");
    desk.write(
        "context/Dockerfile",
        "FROM scratch\nARG WHO=nobody\nCOPY hello.txt /\nLABEL who=$WHO\nCMD [\"/hello\"]\n",
    );
    desk
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn an_image_is_in_the_store_and_served_at_once() {
    let desk = desk();
    let server = Server::start(&desk);
    let digest = desk.good(&["build", "-t", "team/app:1", "-t", "team/app:latest", "context"]);
    let user = Desk::new();
    for tag in ["1", "latest"] {
        let pulled = user.good(&["pull", &server.name(&format!("team/app:{tag}")), "app"]);
        assert_eq!(pulled, format!("app@{digest}"));
    }
    let config = json(&user.good(&["inspect", "--image-config", "app"]));
    assert_eq!(config["config"]["Cmd"][0], "/hello");
    assert_eq!(config["config"]["Labels"]["who"], "nobody");
}

#[test]
fn options_change_the_image() {
    let desk = desk();
    let build = |options: &[&str]| {
        let mut line = vec!["build", "-t", "app"];
        line.extend(options);
        line.push("context");
        let mut command = desk.command(&line);
        command.env("WHO", "the environment");
        let finished = desk.run_with(command, "FROM scratch\nCOPY hello.txt /from-stdin\nLABEL who=stdin\n");
        assert_eq!(finished.code, Some(0), "{finished}");
        json(&desk.good(&["inspect", "--image-config", "app"]))
    };
    assert_eq!(build(&["--build-arg", "WHO=ann"])["config"]["Labels"]["who"], "ann");
    assert_eq!(build(&["--build-arg", "WHO"])["config"]["Labels"]["who"], "the environment");
    assert_eq!(build(&["-f", "-"])["config"]["Labels"]["who"], "stdin");
    assert_eq!(build(&["--label", "a=b=c"])["config"]["Labels"]["a"], "b=c");
    assert_eq!(build(&["--platform", "linux/arm64"])["architecture"], "arm64");
    let layer = |compression: &str| {
        build(&["--no-cache", "--compression", compression]);
        json(&desk.good(&["inspect", "app"]))["manifest"]["layers"][0]["mediaType"].as_str().expect("text").to_owned()
    };
    assert_eq!(layer("zstd"), "application/vnd.oci.image.layer.v1.tar+zstd");
    assert_eq!(layer("uncompressed"), "application/vnd.oci.image.layer.v1.tar");
}

#[test]
fn flags_that_docker_takes_with_a_value_are_taken_with_one() {
    let desk = desk();
    let build = |arguments: &[&str]| desk.run(&[&["build", "-t", "app"], arguments, &["context"]].concat());
    let taken = ["--rm=true", "--force-rm=0", "--pull=false", "--push=false", "--load=f", "--check=false", "-D"];
    let finished = build(&taken);
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(!finished.stderr.contains("warning"), "{finished}");
    assert_eq!(build(&["--pull=perhaps"]).code, Some(125));
    // A value is never taken from the next word, which is the context.
    assert_eq!(desk.run(&["build", "--pull", "context"]).code, Some(0));
    let unmet = build(&["--squash", "--isolation=hyperv", "--security-opt", "seccomp=x.json"]);
    assert_eq!((unmet.code, unmet.stderr.matches("warning: --").count()), (Some(0), 3), "{unmet}");
    let quiet = build(&["--squash", "--isolation=default", "--quiet"]);
    assert!(quiet.stderr.is_empty(), "{quiet}");
    let here = build(&["--platform=local"]);
    assert_eq!(here.stdout, build(&[]).stdout, "{here}");
}

#[test]
fn the_same_build_gives_the_same_image_and_does_nothing() {
    let desk = desk();
    let dated = ["--build-arg", "SOURCE_DATE_EPOCH=1700000000"];
    let first = desk.good(&[&["build", "context"], &dated[..]].concat());
    let again = desk.run(&[&["--progress=json", "build", "context"], &dated[..]].concat());
    assert_eq!(again.stdout, first);
    let events: Vec<Value> = again.stderr.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let ends: Vec<_> = events.iter().filter(|event| event["event"] == "done").map(|event| &event["how"]).collect();
    assert!(!ends.is_empty() && ends.iter().all(|how| **how == "CACHED"), "{again}");
    let elsewhere = Desk::new();
    let context = desk.text("context");
    assert_eq!(elsewhere.good(&[&["build", &context], &dated[..]].concat()), first, "another store, the same image");
}

#[test]
fn files_get_the_result() {
    let desk = desk();
    let digest = desk.good(&[
        "build",
        "-t",
        "team/app:1",
        "--iidfile",
        "id",
        "--metadata-file",
        "metadata",
        "-o",
        "type=oci,dest=oci.tar",
        "-o",
        "type=docker,dest=docker.tar,name=app:1",
        "-o",
        "type=oci,tar=false,dest=layout",
        "-o",
        "type=tar,dest=files.tar",
        "-o",
        "files",
        "context",
    ]);
    let digest = digest.trim_end();
    assert_eq!(fs::read_to_string(desk.path("id")).expect("a file"), digest);
    let metadata = json(&fs::read_to_string(desk.path("metadata")).expect("a file"));
    assert_eq!(metadata["containerimage.digest"], digest);
    assert_eq!(metadata["containerimage.descriptor"]["digest"], digest);
    assert_eq!(metadata["image.name"], "team/app:1");
    let manifest = json(&desk.good(&["inspect", "--raw", "team/app:1"]));
    assert_eq!(metadata["containerimage.config.digest"], manifest["config"]["digest"]);
    for place in ["oci-archive:oci.tar", "docker-archive:docker.tar:app:1", "oci:layout"] {
        assert_eq!(desk.good(&["copy", place, "back:1"]).trim_end(), digest, "{place}");
    }
    assert_eq!(fs::read_to_string(desk.path("files/hello.txt")).expect("a file"), "hello\n");
    let mut archive = tar::Archive::new(fs::File::open(desk.path("files.tar")).expect("a file"));
    let paths =
        archive.entries().expect("a tar").map(|entry| entry.expect("an entry").path().expect("a path").into_owned());
    assert!(paths.into_iter().any(|path| path.ends_with("hello.txt")));
}

#[test]
fn a_tar_on_standard_output_stands_there_alone() {
    let desk = desk();
    // A tar of text and zeros is UTF-8.
    let printed = desk.good(&["build", "-o", "-", "context"]);
    let mut archive = tar::Archive::new(printed.as_bytes());
    let entries: Result<Vec<_>, _> = archive.entries().expect("a tar").collect();
    assert_eq!(entries.expect("whole entries").len(), 1);
    assert!(!printed.contains("sha256:"));
    for kind in ["oci", "docker"] {
        let output = format!("type={kind},dest=-");
        let printed = desk.good(&["build", "--no-cache", "--compression", "uncompressed", "-o", &output, "context"]);
        desk.write("image.tar", &printed);
        desk.good(&["copy", "oci-archive:image.tar", "from-standard-output"]);
        assert!(!desk.path("-").exists());
    }
}

#[test]
fn an_image_is_pushed_where_its_name_says() {
    let desk = desk();
    let there = Desk::new();
    let server = Server::start(&there);
    let name = server.name("team/app:1");
    let digest = desk.good(&["build", "--push", "-t", &name, "-t", "local:1", "context"]);
    assert_eq!(json(&there.good(&["inspect", "team/app:1"]))["digest"], digest.trim_end());
    assert!(there.bad(&["inspect", "local:1"]).contains("is not in the store"));
    // The image also has its place in the own store, under its full name.
    assert_eq!(json(&desk.good(&["inspect", &name]))["digest"], digest.trim_end());
}

/// The first layer is large enough for that, the second is not.
#[test]
fn a_large_layer_is_sent_while_it_is_written() {
    let desk = Desk::new();
    let mut noise = Vec::new();
    for block in 0..400_000_u64 {
        noise.extend(
            block.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_mul(block | 1).to_le_bytes().map(|byte| byte ^ 0x5a),
        );
        noise.extend(block.wrapping_mul(0xc2b2_ae3d_27d4_eb4f).rotate_left(29).wrapping_mul(block + 7).to_le_bytes());
    }
    desk.write("context/large", &noise);
    desk.write("context/small", "small");
    desk.write("context/Dockerfile", "FROM scratch\nCOPY large /\nCOPY small /\n");
    let there = Desk::new();
    let server = Server::start(&there);
    let proxy = Proxy::start(&server);
    let digest = desk.good(&["build", "--push", "-t", &proxy.name("team/app:1"), "context"]);
    let requests = proxy.requests();
    assert_eq!(requests.iter().filter(|request| *request == "PATCH uploads").count(), 1, "{requests:?}");
    assert_eq!(requests.iter().filter(|request| *request == "POST uploads").count(), 3, "{requests:?}");
    assert_eq!(json(&there.good(&["inspect", "team/app:1"]))["digest"], digest.trim_end());
    there.good(&["fsck"]);
    // What the registry has is not sent under another name of the image, and what is known is not made.
    desk.good(&["build", "--push", "-t", &proxy.name("team/app:2"), "context"]);
    assert!(!proxy.requests().iter().any(|request| request.ends_with("uploads")));
}

#[test]
fn after_an_edit_only_what_is_new_is_sent() {
    let there = Desk::new();
    let server = Server::start(&there);
    let proxy = Proxy::start(&server);
    for (image, format) in [("team/gzip:1", "gzip"), ("team/zstd:1", "zstd")] {
        let desk = Desk::new();
        desk.write("context/Dockerfile", "FROM scratch\nCOPY src /src\n");
        for file in 0..60_u64 {
            let noise =
                (0..25_000).map(|word| (file << 32 | word).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect::<Vec<_>>();
            let noise = noise.iter().flat_map(|word| (word ^ word >> 29).to_le_bytes()).collect::<Vec<_>>();
            desk.write(&format!("context/src/file{file:02}"), &noise);
        }
        let name = proxy.name(image);
        let build = ["build", "--push", "--compression", format, "-t", &name, "context"];
        desk.good(&build);
        let all = proxy.bytes();
        desk.write("context/src/file30", "edited");
        let digest = desk.good(&build);
        let edited = proxy.bytes();
        assert!(all > 4_000_000 && edited < all / 2, "{format}: {edited} of {all} bytes");
        assert_eq!(json(&there.good(&["inspect", image]))["digest"], digest.trim_end());
    }
    there.good(&["fsck"]);
}

#[test]
fn bases_come_from_registries_layouts_and_the_store() {
    let desk = desk();
    let there = Desk::new();
    let server = Server::start(&there);
    let base = server.name("base:1");
    desk.good(&["build", "--push", "-t", &base, "-o", "type=oci,tar=false,dest=layout", "context"]);
    let user = Desk::new();
    user.write("context/more.txt", "more\n");
    user.write("context/Dockerfile", format!("FROM {base}\nCOPY more.txt /\n"));
    let on_registry = user.good(&["build", "-t", "one", "context"]);
    let layers = |name: &str| json(&user.good(&["inspect", name]))["manifest"]["layers"].as_array().map(Vec::len);
    assert_eq!(layers("one"), Some(2));
    // The registry has the base's layer already, next door.
    let pushed = user.run(&["--progress=plain", "build", "--push", "-t", &server.name("app:1"), "context"]);
    assert_eq!(pushed.stderr.matches("MOUNTED").count(), 1, "{pushed}");
    assert_eq!(there.good(&["inspect", "--raw", "app:1"]), user.good(&["inspect", "--raw", "one"]));
    // Another base by the same file: a context by the name that FROM says.
    let context = format!("{base}=oci-layout://{}", desk.text("layout"));
    assert_eq!(user.good(&["build", "-t", "two", "--build-context", &context, "context"]), on_registry);
    user.good(&["pull", &base]);
    drop(server);
    assert_eq!(user.good(&["build", "--no-cache", "-t", "three", "context"]), on_registry, "the store has the base");
}

#[test]
fn run_sees_what_it_is_given() {
    if !run_works("run_sees_what_it_is_given") {
        return;
    }
    let desk = Desk::new();
    let steps = "ENV WHARF_STORE=/inner\nRUN [\"/wharf\", \"images\", \"--json\"]\n\
        RUN --mount=type=secret,id=key,target=/key [\"/wharf\", \"import\", \"/key\", \"x\"]\n";
    desk.write("context/Dockerfile", format!("{BASE}{steps}"));
    // The secret is no tar: what RUN says of it shows that the file was there.
    desk.write("key", "open sesame");
    let finished = desk.run(&["build", "--progress=plain", "--secret", "id=key,src=key", "-t", "app", "context"]);
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.stderr.contains("/key cannot be imported: it is not a tar"), "{finished}");
    assert!(finished.stderr.contains(" []"), "{finished}");
    assert!(!finished.stderr.contains("open sesame"), "{finished}");
    assert!(!holds(&desk.path("store"), "sesame"));
}
