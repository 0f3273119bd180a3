//! What single steps do: `RUN` in a sandbox, files that only a machine can make, times.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use wharf_builder::layer::LayerFormat;
use wharf_builder::{BuildError, BuildEvent, ContextSource, ImageName, SecretValue, Stream, TarPart, write_tar};
use wharf_spec::MediaType;

use crate::fixture::{World, gzip, outcomes, tar_of};
use crate::show;

/// What the kernel calls a file system in memory (`statfs(2)`).
const TMPFS_MAGIC: u64 = 0x0102_1994;

fn with_shell(files: &[(&str, &str)]) -> World {
    let mut world = World::with(files);
    world.bases.add_shell("shell");
    world
}

/// What a build puts on top of the shell's image, layer by layer.
async fn changes(world: &World, dockerfile: &str) -> Vec<String> {
    let result = world.build(dockerfile).await;
    let layers = show::layers(&world.store, &result).await;
    let lines =
        layers.iter().skip(1).map(|layer| layer.entries().iter().map(show::line).collect::<Vec<_>>().join("\n"));
    lines.collect()
}

/// What a build's last `RUN` printed.
async fn printed(world: &World, dockerfile: &str) -> Vec<String> {
    world.build(dockerfile).await;
    printed_by(world)
}

fn printed_by(world: &World) -> Vec<String> {
    let line = |event| match event {
        BuildEvent::Output { stream: Stream::Stdout, line, .. } => Some(line),
        _ => None,
    };
    world.events().into_iter().filter_map(line).collect()
}

#[tokio::test]
async fn a_run_makes_a_layer_of_what_it_changed() {
    let world = with_shell(&[]);
    let layers = changes(
        &world,
        "FROM shell\n\
         RUN mkdir /d && echo hello > /d/a && ln /d/a /d/b && ln -s a /d/l && chmod 4711 /d/a\n\
         RUN rm -r /d/b /tmp\n\
         RUN rm -r /d && mkdir /d && touch /d/new\n\
         RUN cat /etc/passwd",
    )
    .await;
    let hello = "/d/a 4711 0:0 file 6 5891b5b522d5";
    assert_eq!(layers[0], format!("/d 0755 0:0 dir\n{hello}\n/d/b 4711 0:0 == /d/a\n/d/l 0777 0:0 -> a"));
    assert_eq!(layers[1], "/d 0755 0:0 dir\n/d/b 0000 0:0 deleted\n/tmp 0000 0:0 deleted");
    assert!(layers[2].contains("/d 0000 0:0 emptied"), "{}", layers[2]);
    assert_eq!(layers[3], "", "a step that changes nothing has a layer all the same");
}

#[tokio::test]
async fn what_a_run_made_the_next_one_sees() {
    let world = with_shell(&[]);
    let lines = printed(
        &world,
        "FROM shell\nENV A=1\nARG B=2\nWORKDIR /work\nRUN echo text > file\nRUN cat file; pwd; echo $A $B; id -u",
    )
    .await;
    assert_eq!(lines, ["text", "/work", "1 2", "0"]);
}

#[tokio::test]
async fn copies_and_runs_build_on_each_other() {
    let world = with_shell(&[("app/main", "in the context"), ("app/other", "x")]);
    let lines = printed(
        &world,
        "FROM shell AS one\nCOPY app /app\nRUN rm /app/other && echo made >> /app/main\n\
         FROM shell\nCOPY --from=one /app /copied\nRUN ls /copied; cat /copied/main",
    )
    .await;
    assert_eq!(lines, ["main", "in the contextmade"]);
}

#[tokio::test]
async fn users_directories_and_shells_are_those_of_the_dockerfile() {
    let world = with_shell(&[]);
    if !crate::support::has_many_ids() {
        crate::skip!("one user only");
    }
    let lines =
        printed(&world, "FROM shell\nUSER app\nWORKDIR /home/app\nRUN id -u && id -g && pwd && stat -c %u:%g:%a .")
            .await;
    assert_eq!(lines, ["1000", "1001", "/home/app", "1000:1001:755"]);
    let lines = printed(&world, "FROM shell\nSHELL [\"/bin/sh\", \"-x\", \"-c\"]\nRUN [\"echo\", \"$HOME\"]").await;
    assert_eq!(lines, ["$HOME"]);
}

#[tokio::test]
async fn heredocs_are_scripts() {
    let world = with_shell(&[]);
    let dockerfile =
        "FROM shell\nRUN <<EOF\necho one\necho two\nEOF\nRUN <<X\n#!/bin/sh\necho $0\nX\nRUN cat <<A\nfree\nA\n";
    assert_eq!(printed(&world, dockerfile).await, ["one", "two", "/dev/pipes/X", "free"]);
}

#[tokio::test]
async fn mounts_show_what_they_should_and_leave_nothing() {
    let world = with_shell(&[("src/a", "from the context"), ("src/hidden", "x")]);
    world.write(".dockerignore", "src/hidden\n");
    let dockerfile = "FROM shell AS tools\nRUN echo tool > /tool\n\
         FROM shell\n\
         RUN --mount=target=/ctx,source=src --mount=from=tools,source=/tool,target=/t \
             --mount=type=tmpfs,target=/scratch --mount=type=bind,target=/rw,rw \
             ls /ctx; cat /ctx/a; echo; cat /t; touch /scratch/x /rw/new; touch /ctx/a 2>/dev/null || echo read-only";
    let result = world.build(dockerfile).await;
    assert_eq!(printed_by(&world), ["a", "from the context", "tool", "read-only"]);
    let layers = show::layers(&world.store, &result).await;
    assert!(layers[1].is_empty(), "{layers:?}");
    assert!(!world.context.path().join("new").exists());
}

#[tokio::test]
async fn caches_live_on_and_secrets_do_not() {
    let world = with_shell(&[]);
    let mut request = world.request(
        "FROM shell\nRUN --mount=type=cache,target=/c --mount=type=secret,id=s,env=S,target=/run/secrets/s \
         echo more >> /c/log; wc -l < /c/log; cat /run/secrets/s; echo; echo $S; stat -c %a /run/secrets/s\nARG BUST",
    );
    request.dockerfile.text = request.dockerfile.text.replace("FROM shell", "FROM shell\nARG N");
    request.secrets.insert("s".into(), SecretValue::new("hush"));
    for round in ["1", "2"] {
        request.build_args.insert("N".into(), round.into());
        let result = world.build_request(request.clone()).await;
        assert_eq!(printed_by(&world), [round, "hush", "hush", "400"]);
        let text = format!("{} {}", String::from_utf8_lossy(&result.config.to_bytes()), world.records().await);
        assert!(!text.contains("hush"), "{text}");
        assert!(show::layers(&world.store, &result).await[1].is_empty());
    }
    // Without the cache of steps, caches are empty for that build.
    request.cache = wharf_builder::CacheUse::Nothing;
    world.build_request(request).await;
    assert_eq!(printed_by(&world)[0], "1");
}

#[tokio::test]
async fn a_cancelled_build_kills_what_runs() {
    let world = with_shell(&[]);
    let cancel = world.cancel.clone();
    let build = world.try_build(world.request("FROM shell\nRUN echo begun; sleep 1000"));
    let canceller = async {
        while printed_by(&world).is_empty() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let ended =
        tokio::time::timeout(Duration::from_secs(60), Box::pin(async { tokio::join!(build, canceller).0 })).await;
    assert!(matches!(ended, Ok(Err(BuildError::Cancelled))), "{ended:?}");
    assert_eq!(fs::read_dir(world.cache_dir.join("tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn archives_are_extracted_by_what_is_in_them() {
    let world = World::new();
    let archive = tar_of(&[("deep/er/file", "text"), ("top", "level")]);
    fs::write(world.context.path().join("plain.bin"), &archive).unwrap();
    fs::write(world.context.path().join("packed"), gzip(&archive)).unwrap();
    fs::write(world.context.path().join("no.tar.gz"), "not an archive").unwrap();
    let result =
        world.build("FROM scratch\nADD plain.bin /a\nADD --chown=1:2 packed no.tar.gz /b/\nCOPY packed /c").await;
    let files = show::files(&show::tree(&world.store, &result).await);
    assert_eq!(
        files,
        [
            "/a 0755 0:0 dir".to_owned(),
            "/a/deep 0755 0:0 dir".to_owned(),
            "/a/deep/er 0755 0:0 dir".to_owned(),
            "/a/deep/er/file 0640 7:8 file 4 982d9e3eb996".to_owned(),
            "/a/top 0640 7:8 file 5 0081779c287d".to_owned(),
            "/b 0755 1:2 dir".to_owned(),
            "/b/deep 0755 1:2 dir".to_owned(),
            "/b/deep/er 0755 1:2 dir".to_owned(),
            "/b/deep/er/file 0640 1:2 file 4 982d9e3eb996".to_owned(),
            "/b/no.tar.gz 0644 1:2 file 14 6bbf954ab004".to_owned(),
            "/b/top 0640 1:2 file 5 0081779c287d".to_owned(),
            format!(
                "/c 0644 0:0 file {} {}",
                gzip(&archive).len(),
                wharf_spec::Digest::sha256(&gzip(&archive)).short()
            ),
        ]
    );
}

#[tokio::test]
async fn odd_files_of_a_context_do_no_harm() {
    let world = World::with(&[("a", "x"), ("dir/b", "y")]);
    let at = |name: &str| world.context.path().join(name);
    symlink("dir", at("to-dir")).unwrap();
    symlink("../../../../etc/passwd", at("dir/out")).unwrap();
    symlink("loop", at("loop")).unwrap();
    symlink("..", at("dir/up")).unwrap();
    let _socket = UnixListener::bind(at("dir/socket")).unwrap();
    fs::hard_link(at("a"), at("dir/same")).unwrap();
    let result = world.build("FROM scratch\nCOPY . /all/\nCOPY to-dir /d\nCOPY a dir/same /twins/").await;
    let files = show::files(&show::tree(&world.store, &result).await);
    let expect = [
        "/all 0755 0:0 dir",
        "/all/a 0644 0:0 file 1 2d711642b726",
        "/all/dir 0755 0:0 dir",
        "/all/dir/b 0644 0:0 file 1 a1fce4363854",
        "/all/dir/out 0777 0:0 -> ../../../../etc/passwd",
        "/all/dir/same 0644 0:0 file 1 2d711642b726",
        "/all/dir/up 0777 0:0 -> ..",
        "/all/loop 0777 0:0 -> loop",
        "/all/to-dir 0777 0:0 -> dir",
        "/d 0755 0:0 dir",
        "/d/b 0644 0:0 file 1 a1fce4363854",
        "/d/out 0777 0:0 -> ../../../../etc/passwd",
        "/d/same 0644 0:0 file 1 2d711642b726",
        "/d/up 0777 0:0 -> ..",
        "/twins 0755 0:0 dir",
        "/twins/a 0644 0:0 file 1 2d711642b726",
        "/twins/same 0644 0:0 file 1 2d711642b726",
    ];
    assert_eq!(files, expect);
    let linked = show::layers(&world.store, &result).await;
    let links = |layer: usize| linked[layer].entries().iter().filter(|one| is_link(&one.entry.kind)).count();
    assert_eq!((links(0), links(2)), (1, 1), "names of one file stay one file within a COPY");
}

fn is_link(kind: &wharf_builder::layer::Kind) -> bool {
    matches!(kind, wharf_builder::layer::Kind::Hardlink { .. })
}

/// Names of a directory in the order in which its file system lists them.
fn listed(directory: &Path) -> Vec<OsString> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

#[tokio::test]
async fn the_same_inputs_give_the_same_digest() {
    let mut disk = with_shell(&[("b/x", "1"), ("b/y", "2"), ("b/z/deep", "4"), ("a", "3")]);
    disk.jobs = 1;
    let mut worlds = vec![disk];
    // A file system in memory lists files in the order in which they were made, or the other way round.
    let memory = Path::new("/dev/shm");
    let in_memory = rustix::fs::statfs(memory).is_ok_and(|found| u64::try_from(found.f_type) == Ok(TMPFS_MAGIC));
    for ascending in [true, false] {
        let mut other = World::new();
        other.bases = worlds[0].bases.clone();
        other.jobs = 8;
        if in_memory {
            other.context = tempfile::tempdir_in(memory).unwrap();
        }
        let files = [("a", "3"), ("b/x", "1"), ("b/y", "2"), ("b/z/deep", "4")];
        let in_order = |at: usize| files[if ascending { at } else { files.len() - 1 - at }];
        for (path, text) in (0..files.len()).map(in_order) {
            other.write(path, text);
        }
        worlds.push(other);
    }
    let [up, down] = [1, 2].map(|world: usize| listed(&worlds[world].context.path().join("b")));
    if in_memory {
        assert_ne!(up, down);
    } else {
        println!("skipped in part: {} is no file system in memory", memory.display());
    }
    let mut digests = Vec::new();
    for world in &worlds {
        let mut request =
            world.request("FROM shell\nCOPY . /c\nWORKDIR /w\nRUN echo x > file\nCOPY <<EOF /here\ntext\nEOF\n");
        request.source_date_epoch = Some(1_500_000_000);
        let result = world.build_request(request).await;
        assert_eq!(result.config.created.as_deref(), Some("2017-07-14T02:40:00Z"));
        digests.push(result.image.digest());
    }
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
}

#[tokio::test]
async fn layers_are_compressed_as_asked() {
    let world = World::with(&[("a", "x")]);
    for (format, media_type) in [
        (LayerFormat::Zstd, MediaType::OCI_LAYER_ZSTD),
        (LayerFormat::ZstdChunked, MediaType::OCI_LAYER_ZSTD),
        (LayerFormat::Gzip, MediaType::OCI_LAYER_GZIP),
        (LayerFormat::Estargz, MediaType::OCI_LAYER_GZIP),
        (LayerFormat::Uncompressed, MediaType::OCI_LAYER),
    ] {
        let mut request = world.request("FROM scratch\nCOPY a /");
        request.compression = wharf_builder::LayerCompression { format, level: None };
        request.cache = wharf_builder::CacheUse::Nothing;
        let result = world.build_request(request.clone()).await;
        assert_eq!(result.image.blobs()[1].media_type.as_str(), media_type);
        let table = matches!(format, LayerFormat::ZstdChunked | LayerFormat::Estargz);
        assert_eq!(result.image.blobs()[1].annotations.is_empty(), !table);
        let in_the_tree = if format == LayerFormat::Estargz { 2 } else { 1 };
        assert_eq!(show::files(&show::tree(&world.store, &result).await).len(), in_the_tree);
        // What says where the table is, is remembered with the layer.
        request.cache = wharf_builder::CacheUse::All;
        assert_eq!(world.build_request(request).await.image.digest(), result.image.digest());
    }
}

#[tokio::test]
async fn results_can_be_had_as_plain_files_and_as_a_tar() {
    let world = with_shell(&[("a", "x")]);
    let result = world.build("FROM shell\nRUN rm -r /tmp && echo y > /b && ln /b /c\nCOPY --chown=5:6 a /d").await;
    let out = tempfile::tempdir().unwrap();
    result.write_directory(out.path()).await.unwrap();
    assert_eq!(fs::read_to_string(out.path().join("c")).unwrap(), "y\n");
    assert!(out.path().join("bin/sh").exists() && !out.path().join("tmp").exists());
    let part = TarPart { result: &result, directory: None, beside: Vec::new() };
    let bytes = write_tar(vec![part], Vec::new()).await.unwrap();
    let mut archive = tar::Archive::new(&bytes[..]);
    let mut members: Vec<String> = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        if !path.contains('/') {
            members.push(format!("{path} {} {:?}", entry.header().uid().unwrap(), entry.header().entry_type()));
        }
    }
    for member in ["b 0 Regular", "c 0 Link", "d 5 Regular"] {
        assert!(members.iter().any(|found| found == member), "{member}: {members:?}");
    }
    assert!(!members.iter().any(|found| found.starts_with("tmp")), "{members:?}");
}

#[tokio::test]
async fn images_can_be_copied_from_and_built_on_by_any_name() {
    let mut world = with_shell(&[]);
    let layer = make_layer(&[("f", "data")]);
    world.bases.add("docker.io/library/data:1", &[layer.path()], |_| {});
    let mut request =
        world.request("FROM base AS x\nFROM scratch\nCOPY --from=data /f /from-data\nCOPY --from=base /f /base");
    let name: ImageName = ImageName::Reference("docker.io/library/data:1".parse().unwrap());
    request.named_contexts.insert("data".into(), ContextSource::Image(name.clone()));
    request.named_contexts.insert("base".into(), ContextSource::Image(name));
    let result = world.build_request(request).await;
    let files = show::files(&show::tree(&world.store, &result).await);
    assert_eq!(files.len(), 2, "{files:?}");
    assert_eq!(outcomes(&result).len(), 2);
}

fn make_layer(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (path, text) in files {
        crate::support::image::write(root.path(), path, text);
    }
    root
}
