//! What is particular to single instructions.

use super::*;

#[test]
fn from_forms() {
    let file = file("ARG V=1\nFROM --platform=linux/amd64 a:$V aS Build_1.x\nFROM scratch\n");
    assert_eq!(file.global_args[0].instruction.args[0].default.as_ref().unwrap().text, "1");
    let alias = file.stages[0].from.instruction.alias.as_ref().unwrap();
    assert_eq!((alias.keyword.as_str(), alias.name.as_str(), alias.written.as_str()), ("aS", "build_1.x", "Build_1.x"));
    assert_eq!(file.stages[1].base().text, "scratch");
}

#[test]
fn from_mistakes() {
    for (source, title) in [
        ("FROM", "FROM needs an image or a stage"),
        ("FROM a b", "unexpected `b` after the image"),
        ("FROM a AS", "AS without a name"),
        ("FROM a AS 1b", "`1b` cannot be the name of a stage"),
        ("FROM a AS b c", "unexpected `c` after the image"),
        ("FROM a IS b", "unexpected `IS` after the image"),
        ("FROM --platfrom=x a", "FROM has no flag --platfrom"),
    ] {
        assert_eq!(error(source).title, title, "{source}");
    }
}

#[test]
fn arg_forms() {
    let Instruction::Arg(arg) = statement("ARG a b= c=\"d e\" f=$a").instruction else { panic!() };
    let args: Vec<_> = arg.args.iter().map(|arg| (arg.name.as_str(), arg.default.as_ref().map(Word::as_str))).collect();
    assert_eq!(args, [("a", None), ("b", Some("")), ("c", Some("\"d e\"")), ("f", Some("$a"))]);
    assert!(statement_error("ARG").title.contains("ARG needs a name"));
    assert!(statement_error("ARG =x").title.contains("without a name"));
}

#[test]
fn healthcheck_forms() {
    let health = |source: &str| match statement(source).instruction {
        Instruction::Healthcheck(health) => health,
        other => panic!("{other:?}"),
    };
    assert_eq!(health("HEALTHCHECK none"), HealthcheckInstruction::None);
    let HealthcheckInstruction::Cmd(check) = health(
        "HEALTHCHECK --interval=1m --timeout=3s --start-period=0s --start-interval=1.5s --retries=5 cmd curl  -f x",
    ) else {
        panic!()
    };
    assert_eq!(check.interval, Some(std::time::Duration::from_mins(1)));
    assert_eq!(check.start_interval, Some(std::time::Duration::from_millis(1500)));
    assert_eq!((check.start_period, check.retries), (Some(std::time::Duration::ZERO), Some(5)));
    assert!(matches!(check.command, CommandLine::Shell(text) if text.text == "curl  -f x"));
    let HealthcheckInstruction::Cmd(check) = health("HEALTHCHECK CMD [\"a\"]") else { panic!() };
    assert!(matches!(check.command, CommandLine::Exec(words) if words.len() == 1));
}

#[test]
fn healthcheck_mistakes() {
    for (source, part) in [
        ("HEALTHCHECK", "needs NONE or CMD"),
        ("HEALTHCHECK NONE x", "takes no arguments"),
        ("HEALTHCHECK CMD", "needs a command"),
        ("HEALTHCHECK CMD []", "needs a command"),
        ("HEALTHCHECK curl x", "`curl` is not a kind of health check"),
        ("HEALTHCHECK --interval=5 CMD x", "`5` is not a duration"),
        ("HEALTHCHECK --interval=1us CMD x", "--interval is too short"),
        ("HEALTHCHECK --retries=-1 CMD x", "`-1` is not a number of retries"),
        ("HEALTHCHECK --retries=99999999999 CMD x", "is not a number of retries"),
    ] {
        let title = statement_error(source).title;
        assert!(title.contains(part), "{source}: {title}");
    }
}

#[test]
fn onbuild_keeps_the_text_of_its_trigger() {
    let Instruction::Onbuild(onbuild) = statement("ONBUILD   run a \\\n  b  ").instruction else { panic!() };
    assert_eq!(onbuild.trigger, "run a   b");
    assert_eq!(onbuild.statement.origin.keyword.text, "run");
    assert!(matches!(onbuild.statement.instruction, Instruction::Run(_)));
}

#[test]
fn onbuild_refuses_some_instructions() {
    for keyword in ["FROM", "MAINTAINER", "ONBUILD"] {
        assert!(statement_error(&format!("ONBUILD {keyword} x")).title.contains("cannot be triggered"), "{keyword}");
        assert!(parse_trigger(&format!("{keyword} RUN x"), Escape::default()).is_err(), "{keyword}");
    }
    assert!(statement_error("ONBUILD").title.contains("needs an instruction"));
    assert!(statement_error("ONBUILD RNU x").help[0].contains("`RUN`"));
    assert!(statement_error("ONBUILD COPY --x a b").title.contains("COPY has no flag --x"));
}

#[test]
fn onbuild_triggers_are_single_instructions() {
    assert!(parse_trigger("RUN a\nRUN b", Escape::default()).is_err());
    assert!(parse_trigger("", Escape::default()).is_err());
    assert!(parse_trigger("RUN a", Escape::default()).is_ok());
    let Statement { origin, .. } = parse_trigger("RUN a `\n b", Escape::Backtick).unwrap();
    assert_eq!(origin.text, "RUN a  b");
}

#[test]
fn shell_takes_json_only() {
    let Instruction::Shell(shell) = statement("SHELL [\"/bin/bash\", \"-c\"]").instruction else { panic!() };
    assert_eq!(texts(&shell.shell), ["/bin/bash", "-c"]);
    assert_eq!(statement_error("SHELL bash -c").help, ["write SHELL [\"bash\", \"-c\"]"]);
    assert!(statement_error("SHELL []").title.contains("needs a JSON array"));
    assert!(statement_error("SHELL").title.contains("needs a JSON array"));
}

#[test]
fn rest_of_line_instructions() {
    let Instruction::Workdir(workdir) = statement("WORKDIR  /a b ").instruction else { panic!() };
    assert_eq!(workdir.path.text, "/a b");
    let Instruction::User(user) = statement("USER \"$U\":g").instruction else { panic!() };
    assert_eq!(user.user.text, "\"$U\":g");
    for keyword in ["WORKDIR", "USER", "STOPSIGNAL", "MAINTAINER", "EXPOSE", "VOLUME", "COPY", "ADD", "LABEL"] {
        assert!(statement_error(keyword).title.starts_with(&format!("{keyword} needs")), "{keyword}");
    }
}

#[test]
fn volumes_and_ports() {
    let Instruction::Volume(volume) = statement("VOLUME [\"/a b\", \"/c\"]").instruction else { panic!() };
    assert_eq!((texts(&volume.paths), volume.form), (vec!["/a b", "/c"], ArgumentForm::Json));
    assert!(statement_error("VOLUME [\" \"]").title.contains("cannot be empty"));
    assert!(statement_error("VOLUME []").title.contains("VOLUME needs a path"));
    let Instruction::Expose(expose) = statement("EXPOSE 80/tcp  $P").instruction else { panic!() };
    assert_eq!(texts(&expose.ports), ["80/tcp", "$P"]);
}

#[test]
fn v8_copy_from_a_variable_is_an_error() {
    let error = statement_error("COPY --from=$IMAGE a b");
    assert_eq!(error.title, "variables cannot be used in `from`");
    assert!(error.help[0].contains("FROM $IMAGE AS"));
}

#[test]
fn copy_needs_two_arguments() {
    assert!(statement_error("COPY a").title.contains("COPY needs a source and a destination"));
    assert!(statement_error("COPY [\"a\"]").title.contains("COPY needs a source and a destination"));
}

#[test]
fn add_checksum_vouches_for_one_source() {
    assert!(statement_error("ADD --checksum=sha256:a b c d").title.contains("only one source"));
    assert!(matches!(statement("ADD --checksum=sha256:a b c").instruction, Instruction::Add(_)));
}

#[test]
fn empty_commands_are_legal() {
    assert_eq!(shell("RUN"), "");
    for source in ["CMD", "ENTRYPOINT"] {
        assert!(matches!(
            statement(source).instruction,
            Instruction::Cmd(CmdInstruction { command: CommandLine::Shell(text) })
            | Instruction::Entrypoint(EntrypointInstruction { command: CommandLine::Shell(text) }) if text.text.is_empty()
        ));
    }
}
