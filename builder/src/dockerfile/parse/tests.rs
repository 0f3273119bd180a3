//! One test per rule of the language that a corpus file would show less clearly.

use super::*;
use crate::dockerfile::*;

fn file(source: &str) -> Dockerfile {
    parse(source).unwrap_or_else(|error| panic!("{}", render(&error, "Dockerfile", source, false)))
}

fn error(source: &str) -> Diagnostic {
    match parse(source) {
        Ok(file) => panic!("{source:?} parses: {file:#?}"),
        Err(error) => error,
    }
}

/// Parses one instruction of a stage.
fn statement(source: &str) -> Statement {
    let mut file = file(&format!("FROM base\n{source}"));
    file.stages[0].instructions.pop().unwrap_or_else(|| panic!("no instruction in {source:?}"))
}

fn statement_error(source: &str) -> Diagnostic {
    error(&format!("FROM base\n{source}"))
}

fn run(source: &str) -> RunCommand {
    match statement(source).instruction {
        Instruction::Run(run) => run.command,
        other => panic!("{other:?}"),
    }
}

fn shell(source: &str) -> String {
    run(source).shell_text().unwrap_or_else(|| panic!("no shell text in {source:?}")).to_owned()
}

fn copy(source: &str) -> CopyInstruction {
    match statement(source).instruction {
        Instruction::Copy(copy) => copy,
        other => panic!("{other:?}"),
    }
}

fn texts(words: &[Word]) -> Vec<&str> {
    words.iter().map(Word::as_str).collect()
}

/// The source text a word came from.
fn at(source: &str, span: Span) -> &str {
    &source[span.start..span.end]
}

#[test]
fn p1_byte_order_mark_and_carriage_returns() {
    let source = "\u{feff}FROM a AS b\r\nRUN one \\\r\n  two\r\nENV X=1\r\n";
    let file = file(source);
    let stage = &file.stages[0];
    assert_eq!((stage.base().as_str(), stage.name()), ("a", Some("b")));
    assert_eq!(at(source, stage.base().span), "a");
    assert_eq!(stage.instructions[0].origin.text, "RUN one   two");
    assert_eq!(at(source, stage.instructions[1].span()), "ENV X=1");
}

#[test]
fn p1_byte_order_mark_before_a_directive() {
    assert_eq!(file("\u{feff}# escape=`\nFROM a").directives.escape(), Escape::Backtick);
}

#[test]
fn p1_lines_have_a_limit() {
    let longest = format!("FROM a\nRUN {}", "x".repeat(MAX_LINE_BYTES - 4));
    assert_eq!(file(&longest).stages[0].instructions.len(), 1);
    assert_eq!(file(&format!("{longest}\n")).stages[0].instructions.len(), 1);
    let error = error(&format!("{longest}x\n"));
    assert!(error.title.contains("65535 bytes"), "{error:?}");
    assert_eq!(error.primary_span(), Some(Span::at(7)));
}

#[test]
fn p1_logical_lines_have_no_limit() {
    let source = format!("FROM a\nRUN true{}", " \\\n && true".repeat(20_000));
    assert!(file(&source).stages[0].instructions[0].origin.text.len() > 2 * MAX_LINE_BYTES);
}

#[test]
fn p2_keywords_in_any_casing_behind_any_blanks() {
    let file = file("  \t from a\n\u{a0}ruN x\n");
    assert_eq!(file.stages[0].from.origin.keyword.text, "from");
    assert_eq!(file.stages[0].instructions[0].origin.keyword.text, "ruN");
}

#[test]
fn p2_unknown_instruction_suggests_the_nearest() {
    let error = statement_error("RUNN echo");
    assert_eq!(error.help, ["did you mean `RUN`?"]);
    assert!(statement_error("&& echo").help[0].contains("continues the one above"));
}

#[test]
fn p3_comments_vanish_before_lines_are_joined() {
    assert_eq!(shell("RUN a \\\n# comment \\\n  # indented\n && b"), "a  && b");
    assert_eq!(shell("RUN a # not a comment"), "a # not a comment");
    assert_eq!(shell("RUN a \\\n# one\n# two"), "a");
}

#[test]
fn p3_a_comment_does_not_continue() {
    let file = file("FROM a\n# comment \\\nRUN x");
    assert_eq!(file.stages[0].instructions.len(), 1);
}

#[test]
fn p4_continuation_keeps_leading_blanks_and_drops_trailing_ones_after_the_mark() {
    assert_eq!(shell("RUN a\\\n  b\\ \t \nc"), "a  bc");
    assert_eq!(shell("RUN a \\\nb"), "a b");
}

#[test]
fn p4_an_escaped_escape_does_not_continue() {
    let file = file("FROM a\nRUN a \\\\\nRUN b\n");
    assert_eq!(file.stages[0].instructions[0].origin.text, "RUN a \\\\");
    assert_eq!(file.stages[0].instructions.len(), 2);
}

#[test]
fn p4_a_line_that_is_only_the_mark_continues() {
    assert_eq!(shell("RUN a \\\n\\\nb"), "a b");
    assert_eq!(file("\\\nFROM a").stages.len(), 1);
}

#[test]
fn p4_the_mark_follows_the_escape_directive() {
    let file = file("# escape=`\nFROM a\nRUN one `\n two\nRUN C:\\\nENV X=a` b\n");
    let instructions = &file.stages[0].instructions;
    assert_eq!(instructions[0].origin.text, "RUN one  two");
    assert_eq!(instructions[1].origin.text, "RUN C:\\");
    let Instruction::Env(env) = &instructions[2].instruction else { panic!() };
    assert_eq!(env.pairs[0].value.text, "a` b");
}

#[test]
fn p4_spans_reach_across_continuations() {
    let source = "FROM base\nCOPY one \\\n  # why\n  two \\\n/dest\n";
    let file = file(source);
    let statement = &file.stages[0].instructions[0];
    let Instruction::Copy(copy) = &statement.instruction else { panic!() };
    let written: Vec<_> = copy.sources.iter().map(|s| at(source, s.word().span)).collect();
    assert_eq!((written, at(source, copy.destination.span)), (vec!["one", "two"], "/dest"));
    assert_eq!(at(source, statement.span()), &source[10..source.len() - 1]);
}

#[test]
fn p5_blank_lines_inside_a_continuation_are_skipped_and_remembered() {
    let source = "FROM base\nRUN a \\\n\n  \t\n b\n";
    let file = file(source);
    let origin = &file.stages[0].instructions[0].origin;
    assert_eq!(origin.text, "RUN a  b");
    assert_eq!(origin.blank_continuations, [Span::new(18, 18), Span::new(19, 22)]);
}

#[test]
fn p5_a_trailing_mark_at_the_end_of_the_file() {
    assert_eq!(shell("RUN a \\"), "a");
    assert_eq!(shell("RUN a \\\n\n"), "a");
}

#[test]
fn p5_a_mark_with_nothing_behind_it_is_an_error() {
    assert!(statement_error("\\\n\n").title.contains("nothing to continue"));
}

#[test]
fn p6_flags_stand_between_keyword_and_arguments() {
    let copy = copy("COPY --from=x --chown=1:2 --chmod=0644 --link --parents=false --exclude=a --exclude=b s d --chown=9");
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
        statement("RUN --mount=type=tmpfs,target=/x --network=none --security=insecure --device=d,required x").instruction
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
    let Instruction::Cmd(CmdInstruction { command: CommandLine::Exec(words) }) = &file.stages[0].instructions[0].instruction
    else {
        panic!()
    };
    assert_eq!(at(source, words[0].span), "\"a\"");
    assert_eq!(at(source, words[1].span), "\"b\"");
}

#[test]
fn p7_an_array_with_anything_else_is_an_error() {
    for source in ["CMD [\"a\", 42]", "RUN [null]", "ENTRYPOINT [\"a\", [\"b\"]]", "COPY [\"a\", true]", "VOLUME [{}]"] {
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

#[test]
fn p9_several_heredocs_are_read_in_order() {
    let copy = copy("COPY <<one <<two /dest/\ntwo\none\n1\ntwo\n");
    let files: Vec<_> = copy
        .sources
        .iter()
        .map(|source| match source {
            CopySource::Inline(file) => (file.name.as_str(), file.content.as_str()),
            CopySource::Path(path) => panic!("{path:?}"),
        })
        .collect();
    assert_eq!(files, [("one", "two\n"), ("two", "1\n")]);
}

#[test]
fn p9_a_dash_strips_leading_tabs_only() {
    let statement = statement("RUN <<-EOF\n\ta\n\t\t b\n c\n\tEOF\n");
    let heredoc = &statement.origin.heredocs[0];
    assert_eq!(heredoc.body, "\ta\n\t\t b\n c\n");
    assert_eq!(heredoc.content(), "a\n b\n c\n");
    assert!(matches!(statement.instruction, Instruction::Run(run) if run.command.shell_text() == Some("a\n b\n c\n")));
}

#[test]
fn p9_quoting_the_delimiter_disables_expansion() {
    for (word, name, expand) in [
        ("<<EOF", "EOF", true),
        ("<<'EOF'", "EOF", false),
        ("<<\"EOF\"", "EOF", false),
        ("<<E'O'F", "EOF", false),
        ("<<-'EOF'", "EOF", false),
        ("<<eo\\'f", "eo'f", true),
        ("<<'e'o\\'f", "eo'f", false),
        ("<<$EOF", "$EOF", true),
        ("3<<EOF", "EOF", true),
        ("<< EOF", "EOF", true),
        ("<<- EOF", "EOF", true),
        ("<< -EOF", "-EOF", true),
        ("<<'one two'", "one two", false),
    ] {
        let statement = statement(&format!("RUN {word}\nbody\n{name}\n"));
        let heredoc = &statement.origin.heredocs[0];
        assert_eq!((heredoc.name.as_str(), heredoc.expand), (name, expand), "{word}");
        assert_eq!(heredoc.body, "body\n", "{word}");
    }
}

#[test]
fn p9_what_is_no_heredoc() {
    for line in ["echo \"<<EOF\"", "echo '<<EOF'", "cat <<<EOF", "echo $((1<<2))", "echo a<<b", "x <<", "[\"<<EOF\"]"] {
        let statement = statement(&format!("RUN {line}"));
        assert!(statement.origin.heredocs.is_empty(), "{line}");
    }
    assert!(statement("USER <<EOF").origin.heredocs.is_empty());
    assert!(statement("CMD cat <<EOF").origin.heredocs.is_empty());
}

#[test]
fn p9_a_line_no_shell_can_split_has_no_heredocs() {
    assert_eq!(shell("RUN echo ${a[0]} $(( 1 << 2 ))"), "echo ${a[0]} $(( 1 << 2 ))");
    assert_eq!(shell("RUN echo it's <<EOF"), "echo it's <<EOF");
}

#[test]
fn p9_bodies_are_verbatim() {
    let body = "# not a comment\n\nline \\\n  FROM x\n\r\nEOF \n EOF\n";
    assert_eq!(statement(&format!("RUN <<EOF\n{body}EOF\n")).origin.heredocs[0].body, body);
}

#[test]
fn p9_carriage_return_after_the_terminator() {
    assert_eq!(statement("RUN <<EOF\r\na\r\nEOF\r\n").origin.heredocs[0].body, "a\r\n");
}

#[test]
fn p9_an_unterminated_heredoc_is_an_error() {
    let error = statement_error("RUN <<EOF\nbody\n");
    assert_eq!(error.title, "this heredoc is never closed");
    assert_eq!(error.primary_span(), Some(Span::new(14, 19)));
}

#[test]
fn p9_heredocs_behind_onbuild() {
    let Instruction::Onbuild(onbuild) = statement("ONBUILD COPY <<-A <<B /x\n\t1\n\tA\n2\nB\n").instruction else { panic!() };
    assert_eq!(onbuild.trigger, "COPY <<-A <<B /x\n\t1\nA\n2\nB");
    let again = parse_trigger(&onbuild.trigger, Escape::default()).unwrap();
    let (Instruction::Copy(first), Instruction::Copy(second)) = (onbuild.statement.instruction, again.instruction) else {
        panic!()
    };
    let contents = |copy: &CopyInstruction| -> Vec<String> {
        let file = |source: &CopySource| match source {
            CopySource::Inline(file) => file.content.clone(),
            CopySource::Path(path) => panic!("{path:?}"),
        };
        copy.sources.iter().map(file).collect()
    };
    assert_eq!(contents(&first), ["1\n", "2\n"]);
    assert_eq!(contents(&second), ["1\n", "2\n"]);
}

#[test]
fn p10_a_heredoc_alone_is_the_script() {
    let RunCommand::Script(file) = run("RUN --network=none <<EOF\necho $x\nEOF\n") else { panic!() };
    assert_eq!((file.name.as_str(), file.content.as_str()), ("EOF", "echo $x\n"));
}

#[test]
fn p10_a_hash_bang_makes_it_an_executable() {
    let RunCommand::Executable(file) = run("RUN <<-run.py\n#!/usr/bin/env python3\n\tprint(1)\nrun.py\n") else { panic!() };
    assert_eq!((file.name.as_str(), file.content.as_str()), ("run.py", "#!/usr/bin/env python3\nprint(1)\n"));
    assert_eq!(run("RUN <<E\n#!/bin/x\nE").shell_text(), None);
}

#[test]
fn p10_anything_else_is_put_together_again_for_the_shell() {
    let source = "RUN <<-A cat >x && <<'B' cat >y\n\ta $v\n\tA\nb\nB\n";
    assert_eq!(shell(source), "<<-A cat >x && <<'B' cat >y\n\ta $v\nA\nb\nB");
    let RunCommand::ShellWithHeredocs { line, .. } = run(source) else { panic!() };
    assert_eq!(line.text, "<<-A cat >x && <<'B' cat >y");
}

#[test]
fn p11_copy_from_a_heredoc() {
    let source = "COPY <<\"a.txt\" plain <<EOF /d/\n'$x'\na.txt\n\"$y\"\nEOF\n";
    let copy = copy(source);
    let [CopySource::Inline(first), CopySource::Path(path), CopySource::Inline(second)] = copy.sources.as_slice() else {
        panic!("{copy:?}")
    };
    assert_eq!((first.name.as_str(), first.content.as_str(), first.expand), ("a.txt", "'$x'\n", false));
    assert_eq!(path.text, "plain");
    assert_eq!((second.content.as_str(), second.expand), ("\"$y\"\n", true));
    assert_eq!(at(&format!("FROM base\n{source}"), second.body), "\"$y\"\n");
}

#[test]
fn p11_a_delimiter_may_stand_apart() {
    let copy = copy("COPY << EOF /d\na\nEOF\n");
    assert!(matches!(copy.sources.as_slice(), [CopySource::Inline(file)] if file.content == "a\n"), "{copy:?}");
}

#[test]
fn p11_a_heredoc_cannot_be_the_destination() {
    assert!(statement_error("COPY a <<EOF\nx\nEOF\n").title.contains("cannot be the destination"));
}

#[test]
fn p11_a_heredoc_word_in_json_is_a_path() {
    let copy = copy("COPY [\"<<EOF\", \"/d\"]");
    assert_eq!((copy.form, copy.sources[0].word().text.as_str()), (ArgumentForm::Json, "<<EOF"));
    assert!(matches!(copy.sources[0], CopySource::Path(_)));
}

#[test]
fn p12_directives() {
    let file = file("#Syntax = a/b:1 c \n# ESCAPE=`\n#check=skip=all\nFROM a");
    assert_eq!(file.directives.syntax.unwrap().text, "a/b:1 c");
    assert_eq!(file.directives.escape.unwrap().value, Escape::Backtick);
    assert_eq!(file.directives.check.unwrap().skip, RuleSet::All);
}

#[test]
fn p12_directives_end_at_the_first_other_line() {
    for first in ["# comment", "", "#", "# unknown=x", "#!/bin/x", "ARG a"] {
        let file = file(&format!("{first}\n# escape=`\nFROM a"));
        assert_eq!(file.directives.escape(), Escape::Backslash, "{first:?}");
    }
}

#[test]
fn p12_a_directive_is_given_once_and_valid() {
    assert!(error("# escape=\\\n# escape=`\nFROM a").title.contains("given twice"));
    assert!(error("# escape=x\nFROM a").title.contains("`x` cannot be the escape character"));
    assert!(error("# check=bogus\nFROM a").title.contains("bogus"));
}

#[test]
fn p12_a_directive_does_not_continue() {
    let file = file("# syntax=a \\\nFROM a");
    assert_eq!((file.directives.syntax.unwrap().text.as_str(), file.stages.len()), ("a \\", 1));
}

#[test]
fn p13_checks_in_a_comment_above_an_instruction() {
    let source = "# check=error=true\n\n# words\n# check=skip=StageNameCasing\nFROM a\n# lost\n\nRUN x\n";
    let file = file(source);
    let comments = &file.stages[0].from.origin.comments;
    assert_eq!(comments.iter().map(|c| c.text.as_str()).collect::<Vec<_>>(), ["words", "check=skip=StageNameCasing"]);
    assert!(directive::inline_check(&comments[0]).is_none());
    let check = directive::inline_check(&comments[1]).unwrap().unwrap();
    assert!(check.skip.contains("StageNameCasing"));
    assert_eq!(at(source, check.span), "skip=StageNameCasing");
    assert!(file.directives.check.unwrap().error);
    assert!(file.stages[0].instructions[0].origin.comments.is_empty());
}

#[test]
fn p14_errors_point_at_the_word() {
    let source = "FROM base\nCOPY --link \\\n  --chwon=a \\\n  b c\n";
    let error = error(source);
    assert_eq!(at(source, error.primary_span().unwrap()), "chwon");
    let text = render(&error, "Dockerfile", source, false);
    assert!(text.contains("Dockerfile:3:5"), "{text}");
}

#[test]
fn p15_nothing_to_build() {
    for source in ["", "\n", "# only a comment\n", "\u{feff}"] {
        assert_eq!(error(source).title, "this file has no instructions", "{source:?}");
    }
    assert_eq!(error("ARG a=1\n").title, "this file has no FROM");
    assert!(error("RUN x\n").title.contains("before the first FROM"));
}

#[test]
fn p15_env_without_a_value() {
    assert_eq!(statement_error("ENV PATH").title, "ENV needs a value for `PATH`");
    assert!(statement_error("ENV").title.contains("ENV needs"));
}

#[test]
fn p15_nested_arrays() {
    assert!(statement_error("CMD [ \"echo\", [ \"nested json\" ] ]").title.contains("only strings"));
}

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
    let args: Vec<_> =
        arg.args.iter().map(|arg| (arg.name.as_str(), arg.default.as_ref().map(Word::as_str))).collect();
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

#[test]
fn text_must_be_utf8() {
    assert_eq!(decode(b"FROM a"), Ok("FROM a"));
    let bytes = b"FROM a\nRUN \xff\n";
    let error = decode(bytes).unwrap_err();
    let text = render(&error, "Dockerfile", &String::from_utf8_lossy(bytes), false);
    assert!(text.contains("Dockerfile:2:5"), "{text}");
}
