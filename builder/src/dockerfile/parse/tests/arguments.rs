//! Flags, JSON form, pairs: P6-P8.

use super::*;

#[test]
fn p6_flags_stand_between_keyword_and_arguments() {
    let copy =
        copy("COPY --from=x --chown=1:2 --chmod=0644 --link --parents=false --exclude=a --exclude=b s d --chown=9");
    assert_eq!(copy.from.unwrap().text, "x");
    assert_eq!((copy.chown.unwrap().text.as_str(), copy.chmod.unwrap().text.as_str()), ("1:2", "0644"));
    assert_eq!((copy.link, copy.parents, texts(&copy.exclude)), (true, false, vec!["a", "b"]));
    assert_eq!((copy.sources.len(), copy.destination.text.as_str()), (2, "--chown=9"));
}

#[test]
fn p6_two_dashes_end_the_flags() {
    let copy = copy("COPY --link -- --source d");
    assert!(copy.link);
    assert_eq!(copy.sources[0].word().text, "--source");
    assert_eq!(shell("RUN -- --x"), "--x");
}

#[test]
fn p6_truth_values() {
    for (flag, expected) in [("--link", true), ("--link=true", true), ("--link=TRUE", true), ("--link=false", false)] {
        assert_eq!(copy(&format!("COPY {flag} a b")).link, expected, "{flag}");
    }
    assert!(statement_error("COPY --link=1 a b").title.contains("neither true nor false"));
    assert!(statement_error("COPY --link= a b").title.contains("neither true nor false"));
}

#[test]
fn p6_quotes_and_escapes_in_flags() {
    let source = "COPY --from=\"a b\" --chown='c d' --exclude=e\\ f x y";
    let copy = copy(source);
    assert_eq!(copy.from.as_ref().unwrap().text, "a b");
    assert_eq!(copy.chown.unwrap().text, "c d");
    assert_eq!(texts(&copy.exclude), ["e f"]);
    assert_eq!(at(&format!("FROM base\n{source}"), copy.from.unwrap().span), "\"a b\"");
}

#[test]
fn p6_unknown_flag_suggests_the_nearest() {
    assert_eq!(statement_error("COPY --chonw=a b c").help, ["did you mean `--chown`?"]);
    assert!(statement_error("COPY --foobar a b").notes[0].contains("--exclude"));
    assert!(statement_error("CMD --help").title.contains("CMD has no flag --help"));
}

#[test]
fn p6_a_flag_given_twice() {
    let error = statement_error("COPY --from=a --from=b c d");
    assert_eq!((error.title.as_str(), error.labels.len()), ("--from is given twice", 2));
}

#[test]
fn p6_a_flag_without_its_value() {
    assert!(statement_error("COPY --from a b").title.contains("--from needs a value"));
}

#[test]
fn p6_every_flag_of_every_instruction() {
    let add = "ADD --checksum=sha256:x --keep-git-dir=true --unpack=false --link --chown=a --chmod=b --exclude=c s d";
    let Instruction::Add(add) = statement(add).instruction else { panic!() };
    assert_eq!((add.keep_git_dir, add.unpack, add.link), (Some(true), Some(false), true));
    assert_eq!(add.checksum.unwrap().text, "sha256:x");
    let Instruction::Run(run) =
        statement("RUN --mount=type=tmpfs,target=/x --network=none --security=insecure --device=d,required x")
            .instruction
    else {
        panic!()
    };
    assert_eq!(run.network.unwrap().value, NetworkMode::None);
    assert_eq!(run.security.unwrap().value, SecurityMode::Insecure);
    assert_eq!((run.devices[0].name.as_str(), run.devices[0].required, run.mounts.len()), ("d", true, 1));
    assert!(statement_error("RUN --network=hostt x").help[0].contains("`host`"));
    assert_eq!(file("FROM --platform=$P a").stages[0].platform().unwrap().text, "$P");
}

#[test]
fn p7_an_array_of_strings_is_the_exec_form() {
    let RunCommand::Exec(words) = run("RUN [\"a b\", \"\\u00e9\\n\" , \"\"]") else { panic!() };
    assert_eq!(texts(&words), ["a b", "é\n", ""]);
    assert!(matches!(run("RUN []"), RunCommand::Exec(words) if words.is_empty()));
}

#[test]
fn p7_strings_of_an_array_know_their_place() {
    let source = "FROM base\nCMD [\"a\", \\\n \"b\"]\n";
    let file = file(source);
    let Instruction::Cmd(CmdInstruction { command: CommandLine::Exec(words) }) =
        &file.stages[0].instructions[0].instruction
    else {
        panic!()
    };
    assert_eq!(at(source, words[0].span), "\"a\"");
    assert_eq!(at(source, words[1].span), "\"b\"");
}

#[test]
fn p7_an_array_with_anything_else_is_an_error() {
    for source in ["CMD [\"a\", 42]", "RUN [null]", "ENTRYPOINT [\"a\", [\"b\"]]", "COPY [\"a\", true]", "VOLUME [{}]"]
    {
        let error = statement_error(source);
        assert_eq!(error.title, "an array of arguments may hold only strings", "{source}");
    }
    assert_eq!(statement_error("CMD [\"a\", 42]").help, ["write \"42\""]);
}

#[test]
fn p7_malformed_json_is_the_shell_form() {
    for text in ["['a', 'b']", "[\"a\"", "[\"a\",]", "[ -f x ] && y", "[\"a\"] && b", "{\"a\": 1}"] {
        assert_eq!(shell(&format!("RUN {text}")), text);
    }
}

#[test]
fn p8_assignments() {
    let Instruction::Env(env) = statement("ENV a=1 b=\"two words\" c='x' d=e\\ f g=").instruction else { panic!() };
    let pairs: Vec<_> = env.pairs.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())).collect();
    assert_eq!(pairs, [("a", "1"), ("b", "\"two words\""), ("c", "'x'"), ("d", "e\\ f"), ("g", "")]);
    assert_eq!(env.form, PairForm::Assignments);
}

#[test]
fn p8_legacy_form_takes_the_rest_of_the_line() {
    let Instruction::Label(label) = statement("LABEL  key \t a  b=c \"d\" ").instruction else { panic!() };
    assert_eq!((label.pairs[0].key.as_str(), label.pairs[0].value.as_str()), ("key", "a  b=c \"d\""));
    assert_eq!((label.pairs.len(), label.form), (1, PairForm::Legacy));
}

#[test]
fn p8_mixing_the_forms_is_an_error() {
    assert_eq!(statement_error("ENV a=1 b").title, "`b` has no value");
    assert!(statement_error("ENV =1").title.contains("without a name"));
}
