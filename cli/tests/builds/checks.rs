//! `wharf build --check` and `--call`: what is found, in which form, and what the exit code says.

use crate::support::Desk;

const QUESTIONABLE: &str = "\
# base is what the others start from
FROM scratch as Base
ARG TOKEN
ENV GREETING hello
# check=skip=JSONArgsRecommended
CMD serve
FROM scratch AS release
WORKDIR app
RUN --mount=type=secret,id=key,required --mount=type=cache,target=/c --mount=type=ssh [\"/make\"]
COPY --from=base /x$NAME /
";

fn desk(dockerfile: &str) -> Desk {
    let desk = Desk::new();
    desk.write("context/Dockerfile", dockerfile);
    desk
}

#[test]
fn findings_are_shown_in_place() {
    let finished = desk(QUESTIONABLE).run(&["build", "--check", "context"]);
    assert_eq!(finished.code, Some(1), "{finished}");
    insta::assert_snapshot!(finished.without(&[]));
}

#[test]
fn findings_have_dockers_json_form() {
    let desk = desk(QUESTIONABLE);
    let finished = desk.run(&["build", "--call=check,format=json,ignorestatus=true", "context"]);
    assert_eq!(finished.code, Some(0), "{finished}");
    insta::assert_snapshot!(finished.without(&[]));
}

#[test]
fn a_target_limits_the_check_and_a_good_file_passes() {
    let finished =
        desk("FROM scratch AS good\nFROM scratch\nCMD a\n").run(&["build", "--check", "--target=good", "context"]);
    assert_eq!((finished.code, finished.without(&[]).contains("no warnings found")), (Some(0), true), "{finished}");
}

#[test]
fn files_that_cannot_be_built_fail_the_check() {
    let finished = desk("FROM scratch\nCPOY a /\n").run(&["build", "--call=check,ignorestatus=true", "context"]);
    assert_eq!(finished.code, Some(1), "{finished}");
    let json = desk("FROM scratch\nCPOY a /\n").run(&["build", "--call=check,format=json", "context"]);
    insta::assert_snapshot!(format!("{}\n{}", finished.without(&[]), json.without(&[])));
}

#[test]
fn targets_and_outlines() {
    let desk = desk(QUESTIONABLE);
    let shown = [
        vec!["build", "--call=targets", "context"],
        vec!["build", "--call=targets,format=json", "context"],
        vec!["build", "--call=outline", "--build-arg=TOKEN=t", "context"],
        vec!["build", "--call=outline,format=json", "--target=base", "context"],
    ]
    .map(|arguments| desk.run(&arguments).without(&[]));
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn builds_name_what_was_found_and_fail_when_the_file_asks_for_that() {
    let finished = desk("FROM scratch as a\nCMD a\n").run(&["--progress=plain", "build", "context"]);
    assert_eq!(finished.code, Some(0), "{finished}");
    let text = finished.without(&[]);
    assert!(text.contains("2 warnings about the Dockerfile"), "{text}");
    assert!(text.contains(" - JSONArgsRecommended: CMD in shell form"), "{text}");
    assert!(text.contains("(line 2)"), "{text}");
    let strict = desk("# check=error=true\nFROM scratch as a\n");
    let finished = strict.run(&["--progress=quiet", "build", "-t", "app", "context"]);
    assert_eq!((finished.code, strict.good(&["images", "--json"])), (Some(1), "[]\n".to_owned()), "{finished}");
    insta::assert_snapshot!(finished.without(&[]));
}
