//! Builds that fail: the excerpt, what happened, what to do; exit code 1, and no image.

use crate::support::Desk;
use crate::support::server::Server;
use crate::{BASE, run_works};

/// What a user sees of a build of this Dockerfile.
fn failed(desk: &Desk, dockerfile: &str) -> String {
    desk.write("context/Dockerfile", dockerfile);
    let finished = desk.run(&["--progress=quiet", "build", "-t", "app", "context"]);
    assert_eq!(finished.code, Some(1), "{finished}");
    assert_eq!(desk.good(&["images", "--json"]), "[]\n");
    finished.without(&[])
}

#[test]
fn dockerfiles_that_are_wrong() {
    let desk = Desk::new();
    desk.write("context/package.json", "{}");
    let shown = [
        "FROM scratch\nCOPPY . /\n",
        "FROM scratch\nCOPY package.jsn /\n",
        "FROM scratch\nCOPY --form=other . /\n",
        "FROM scratch AS tools\nCOPY --from=tools /bin/sh /\n",
        "COPY . /\n",
        "",
        "FROM scratch\nENV A\nEXPOSE many\n",
    ]
    .map(|dockerfile| failed(&desk, dockerfile));
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn ignore_files_that_are_wrong() {
    let desk = Desk::new();
    desk.write("context/.dockerignore", "# fine\n*.log\n[a-\n");
    insta::assert_snapshot!(failed(&desk, "FROM scratch\nCOPY . /\n"));
}

#[test]
fn commands_that_fail() {
    if !run_works("commands_that_fail") {
        return;
    }
    let desk = Desk::new();
    let shown = [
        format!("{BASE}RUN [\"/wharf\", \"images\", \"--store\", \"s3://bucket?regoin=x\"]\n"),
        format!("{BASE}RUN [\"/nowhere\"]\n"),
        format!("{BASE}RUN make\n"),
    ]
    .map(|dockerfile| failed(&desk, &dockerfile));
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn bases_that_are_not_there() {
    let desk = Desk::new();
    let registry = Desk::new();
    let server = Server::start(&registry);
    let address = server.address.to_string();
    let said = failed(&desk, &format!("FROM {address}/team/base:1\n"));
    insta::assert_snapshot!(said.replace(&address, "[SERVER]"));
}
