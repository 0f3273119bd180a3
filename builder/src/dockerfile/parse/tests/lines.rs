//! Lines, comments, continuations, directives, and files as a whole: P1-P5, P12-P15.

use super::*;

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
fn text_must_be_utf8() {
    assert_eq!(decode(b"FROM a"), Ok("FROM a"));
    let bytes = b"FROM a\nRUN \xff\n";
    let error = decode(bytes).unwrap_err();
    let text = render(&error, "Dockerfile", &String::from_utf8_lossy(bytes), false);
    assert!(text.contains("Dockerfile:2:5"), "{text}");
}
