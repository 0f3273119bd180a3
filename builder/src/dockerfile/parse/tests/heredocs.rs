//! Heredocs: P9-P11.

use super::*;

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
    let Instruction::Onbuild(onbuild) = statement("ONBUILD COPY <<-A <<B /x\n\t1\n\tA\n2\nB\n").instruction else {
        panic!()
    };
    assert_eq!(onbuild.trigger, "COPY <<-A <<B /x\n\t1\nA\n2\nB");
    let again = parse_trigger(&onbuild.trigger, Escape::default()).unwrap();
    let (Instruction::Copy(first), Instruction::Copy(second)) = (onbuild.statement.instruction, again.instruction)
    else {
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
    let RunCommand::Executable(file) = run("RUN <<-run.py\n#!/usr/bin/env python3\n\tprint(1)\nrun.py\n") else {
        panic!()
    };
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
    let [CopySource::Inline(first), CopySource::Path(path), CopySource::Inline(second)] = copy.sources.as_slice()
    else {
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
