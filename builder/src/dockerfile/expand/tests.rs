use proptest::prelude::*;

use super::*;

const ENVIRONMENT: [(&str, &str); 10] = [
    ("HOME", "/home/me"),
    ("SHELL", "bash"),
    ("KOREAN", "한국어"),
    ("NULL", ""),
    ("WORDS", "one  two three"),
    ("PATH_LIKE", "/usr/lib/libfoo.so.1"),
    ("STARS", "a*b*c"),
    ("URL", "http://example.com/a/b"),
    ("QUOTED", "'\"x\"'"),
    ("_u1", "under"),
];

fn lookup(name: &str) -> Option<String> {
    ENVIRONMENT.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

fn word(text: &str) -> Word {
    Word::new(text, Span::new(0, text.len()))
}

fn value(text: &str) -> String {
    expand(&word(text), Escape::Backslash, &lookup).unwrap_or_else(|error| panic!("{text}: {error}")).value
}

fn fault(text: &str) -> ExpandFault {
    expand(&word(text), Escape::Backslash, &lookup).expect_err(text).cause
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(value(text), *expected, "{text}");
    }
}

#[test]
fn v1_plain_and_braced_variables() {
    check(&[
        ("", ""),
        ("hello", "hello"),
        ("$HOME", "/home/me"),
        ("${HOME}", "/home/me"),
        ("a${HOME}b", "a/home/meb"),
        ("$HOME/$SHELL", "/home/me/bash"),
        ("$HOMEx", ""),
        ("$_u1", "under"),
        ("$KOREAN안", ""),
        ("${KOREAN}안", "한국어안"),
        ("he${XXX}llo", "hello"),
        ("$", "$"),
        ("a$", "a$"),
        ("$ x", "$ x"),
        ("$/x", "$/x"),
    ]);
}

#[test]
fn v1_defaults_and_alternatives() {
    check(&[
        ("${XXX:-000}", "000"),
        ("${XXX-000}", "000"),
        ("${NULL:-000}", "000"),
        ("${NULL-000}", ""),
        ("${SHELL:-000}", "bash"),
        ("${XXX:+000}", ""),
        ("${NULL:+000}", ""),
        ("${NULL+000}", "000"),
        ("${SHELL:+000}", "000"),
        ("${XXX:-}", ""),
        ("${XXX:-$SHELL}", "bash"),
        ("${XXX:-${YYY:-${SHELL}x}y}z", "bashxyz"),
        ("${XXX:-\"a } b\"}", "a } b"),
        ("${XXX:-'$SHELL'}", "$SHELL"),
        ("${XXX:-a\\}b}", "a}b"),
        ("${XXX:-:)}", ":)"),
        ("${XXX:---}", "--"),
        ("file-${XXX:+-$XXX}${SHELL:+-$SHELL}.tar", "file--bash.tar"),
    ]);
}

#[test]
fn v1_required_variables() {
    check(&[("${SHELL:?no}", "bash"), ("${SHELL?no}", "bash"), ("${NULL?no}", "")]);
    let required = |text| match fault(text) {
        ExpandFault::Required { name, message } => (name, message),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(required("${XXX:?give $SHELL}"), ("XXX".into(), "give bash".into()));
    assert_eq!(required("${NULL:?empty}"), ("NULL".into(), "empty".into()));
    assert_eq!(required("${XXX?unset}"), ("XXX".into(), "unset".into()));
    assert_eq!(required("${XXX?}"), ("XXX".into(), "must be set".into()));
    assert_eq!(required("${NULL:?}"), ("NULL".into(), "must be set and not empty".into()));
}

#[test]
fn v1_required_variable_becomes_a_diagnostic_at_its_place() {
    let error = expand(&Word::new("a${XXX?msg}b", Span::new(10, 22)), Escape::Backslash, &lookup).unwrap_err();
    assert_eq!(error.span, Span::new(11, 21));
    let diagnostic = Diagnostic::from(error);
    assert_eq!(diagnostic.title, "XXX: msg");
    assert!(diagnostic.help[0].contains("--build-arg XXX="), "{:?}", diagnostic.help);
}

#[test]
fn v1_malformed_substitutions() {
    assert_eq!(fault("${"), ExpandFault::UnclosedBrace);
    assert_eq!(fault("${XXX"), ExpandFault::UnclosedBrace);
    assert_eq!(fault("${XXX:"), ExpandFault::UnclosedBrace);
    assert_eq!(fault("${XXX:-a"), ExpandFault::UnclosedBrace);
    assert_eq!(fault("${}"), ExpandFault::MissingName);
    assert_eq!(fault("${:-x}"), ExpandFault::MissingName);
    assert_eq!(fault("${{X}}"), ExpandFault::MissingName);
    assert_eq!(fault("${XXX=a}"), ExpandFault::UnknownOperator("=".into()));
    assert_eq!(fault("${XXX:=a}"), ExpandFault::UnknownOperator(":=".into()));
    assert_eq!(fault("${XXX a}"), ExpandFault::UnknownOperator(" ".into()));
    assert_eq!(fault("${SHELL/a}"), ExpandFault::MissingSlash);
    assert_eq!(fault("${SHELL//}"), ExpandFault::MissingSlash);
    assert_eq!(fault("${SHELL/a/b"), ExpandFault::UnclosedBrace);
}

#[test]
fn v2_prefixes() {
    check(&[
        ("${PATH_LIKE#*/}", "usr/lib/libfoo.so.1"),
        ("${PATH_LIKE##*/}", "libfoo.so.1"),
        ("${PATH_LIKE#/usr}", "/lib/libfoo.so.1"),
        ("${PATH_LIKE#nothing}", "/usr/lib/libfoo.so.1"),
        ("${SHELL#?}", "ash"),
        ("${SHELL#}", "bash"),
        ("${SHELL##}", "bash"),
        ("${STARS#a\\*}", "b*c"),
        ("${STARS#*\\**\\*}", "c"),
        ("${SHELL#$XXX}", "bash"),
        ("${XXX#a}", ""),
        ("${QUOTED#\"'\"}", "\"x\"'"),
    ]);
}

#[test]
fn v2_suffixes() {
    check(&[
        ("${PATH_LIKE%.*}", "/usr/lib/libfoo.so"),
        ("${PATH_LIKE%%.*}", "/usr/lib/libfoo"),
        ("${PATH_LIKE%/*}", "/usr/lib"),
        ("${SHELL%?}", "bas"),
        ("${SHELL%%*}", ""),
        ("${SHELL%*}", "bash"),
        ("${KOREAN%?}", "한국"),
        ("${STARS%\\**}", "a*b"),
        ("${STARS%%\\**}", "a"),
        ("${SHELL%x}", "bash"),
    ]);
}

#[test]
fn v2_replacements() {
    check(&[
        ("${URL/http/https}", "https://example.com/a/b"),
        ("${URL//\\//-}", "http:--example.com-a-b"),
        ("${URL/a/}", "http://exmple.com/a/b"),
        ("${URL//a/}", "http://exmple.com//b"),
        ("${SHELL/?/X}", "Xash"),
        ("${SHELL//?/X}", "XXXX"),
        ("${SHELL/b*s/-}", "-h"),
        ("${SHELL/nothing/x}", "bash"),
        ("${SHELL/bash/$HOME}", "/home/me"),
        ("${SHELL/b/$0}", "ash"),
        ("${SHELL/b/'$0'}", "$0ash"),
        ("${XXX/a/b}", ""),
        ("${HOME//\\//\\/}", "\\/home\\/me"),
    ]);
}

#[test]
fn v2_regular_expression_characters_are_ordinary() {
    let lookup = |_: &str| Some("()[]{}^$.*?|\\x".to_owned());
    let text = "${V#()[]{\\}^$.\\*\\?|\\\\}";
    assert_eq!(expand(&word(text), Escape::Backslash, &lookup).unwrap().value, "x");
}

#[test]
fn v2_colon_before_trim_is_an_error() {
    assert_eq!(fault("${SHELL:#b}"), ExpandFault::UnknownOperator(":#".into()));
    assert_eq!(fault("${SHELL:%h}"), ExpandFault::UnknownOperator(":%".into()));
}

#[test]
fn v2_malformed_patterns() {
    for text in ["${SHELL#\\x}", "${SHELL%a\\b}", "${SHELL/\\q/x}"] {
        assert!(matches!(fault(text), ExpandFault::Pattern { .. }), "{text}");
    }
}

#[test]
fn v3_single_quotes_are_literal() {
    check(&[("'$HOME'", "$HOME"), ("'a\\b'", "a\\b"), ("'a\"b'", "a\"b"), ("''", ""), ("x'y'z", "xyz"), ("\\'", "'")]);
    assert_eq!(fault("'abc"), ExpandFault::UnclosedSingleQuote);
    assert_eq!(fault("it's"), ExpandFault::UnclosedSingleQuote);
}

#[test]
fn v3_double_quotes_expand_and_escape_three_characters() {
    check(&[
        ("\"$HOME\"", "/home/me"),
        ("\"\\$HOME\"", "$HOME"),
        ("\"a\\\"b\"", "a\"b"),
        ("\"a\\\\b\"", "a\\b"),
        ("\"a\\nb\"", "a\\nb"),
        ("\"it's\"", "it's"),
        ("\"\"", ""),
        ("\"${XXX:-\"in\"}\"", "in"),
    ]);
    assert_eq!(fault("\"abc"), ExpandFault::UnclosedDoubleQuote);
    assert_eq!(fault("\"abc\\"), ExpandFault::UnclosedDoubleQuote);
}

#[test]
fn v3_unquoted_backslash_is_removed() {
    check(&[("a\\b", "ab"), ("a\\\\b", "a\\b"), ("\\$HOME", "$HOME"), ("a\\ b", "a b"), ("a\\", "a")]);
}

#[test]
fn v3_the_escape_character_follows_the_directive() {
    let value = |text| expand(&word(text), Escape::Backtick, &lookup).unwrap().value;
    assert_eq!(value("C:\\dir\\$SHELL"), "C:\\dir\\bash");
    assert_eq!(value("`$SHELL"), "$SHELL");
    assert_eq!(value("\"`\"\\\""), "\"\\");
    assert_eq!(value("${STARS#a`*}"), "b*c");
}

#[test]
fn v4_special_parameters_are_names() {
    check(&[
        ("$1", ""),
        ("$12a", "a"),
        ("$@", ""),
        ("$?", ""),
        ("$$", ""),
        ("$!x", "x"),
        ("$.", "$."),
        ("${1}", ""),
        ("${@}", ""),
    ]);
    let names = expand(&word("$12 $@ ${1:-x}"), Escape::Backslash, &lookup).unwrap();
    assert_eq!(names.undefined(), ["1", "12", "@"].into());
}

#[test]
fn v5_words_split_at_unquoted_blanks() {
    let words = |text| expand_words(&word(text), Escape::Backslash, &lookup).unwrap().value;
    assert_eq!(words("$WORDS"), ["one", "two", "three"]);
    assert_eq!(words("\"$WORDS\""), ["one  two three"]);
    assert_eq!(words("a$WORDS"), ["aone", "two", "three"]);
    assert_eq!(words("${WORDS}b $SHELL"), ["one", "two", "threeb", "bash"]);
    assert_eq!(words("'a b' c\\ d"), ["a b", "c d"]);
    assert_eq!(words("$XXX"), [""; 0]);
    assert_eq!(words("  "), [""; 0]);
    assert_eq!(words("${XXX:-80 443}"), ["80", "443"]);
}

#[test]
fn v5_heredoc_bodies_keep_their_quotes() {
    let body = |text: &str| expand_heredoc(text, Span::new(0, text.len()), &lookup).unwrap().value;
    assert_eq!(body("'$SHELL' \"${HOME}\"\n"), "'bash' \"/home/me\"\n");
    assert_eq!(body("it's \\$SHELL\n"), "it's $SHELL\n");
    assert_eq!(body("\"unclosed $XXX\n"), "\"unclosed \n");
}

#[test]
fn v7_references_say_what_was_used_and_what_was_not_there() {
    let result = expand(&word("$SHELL ${XXX} ${YYY:-a} $SHELL"), Escape::Backslash, &lookup).unwrap();
    assert_eq!(result.value, "bash  a bash");
    assert_eq!(result.used(), ["SHELL"].into());
    assert_eq!(result.undefined(), ["XXX", "YYY"].into());
    let unguarded: Vec<_> = result.references.iter().filter(|r| !r.defined && !r.guarded).collect();
    assert_eq!(unguarded.len(), 1);
    assert_eq!(unguarded[0].span, Span::new(7, 13));
}

#[test]
fn v7_patterns_and_replacements_count_as_used() {
    let result = expand(&word("${URL/$SHELL/$HOME}"), Escape::Backslash, &lookup).unwrap();
    assert_eq!(result.used(), ["HOME", "SHELL", "URL"].into());
}

#[test]
fn nesting_is_bounded() {
    let deep = "${X:-".repeat(10_000) + &"}".repeat(10_000);
    assert_eq!(fault(&deep), ExpandFault::TooDeep);
    let allowed = "${X:-".repeat(60) + "v" + &"}".repeat(60);
    assert_eq!(value(&allowed), "v");
}

#[test]
fn many_wildcards_take_no_time() {
    let lookup = |_: &str| Some("a".repeat(2000));
    let text = format!("${{V##{}b}}", "*a".repeat(50));
    assert_eq!(expand(&word(&text), Escape::Backslash, &lookup).unwrap().value.len(), 2000);
}

proptest! {
    #[test]
    fn expansion_never_panics(text in r#"[\PC\\$`'"{}:?#%/*\-+\n\t<]{0,60}"#, value in proptest::option::of("\\PC{0,8}")) {
        let lookup = |_: &str| value.clone();
        for escape in [Escape::Backslash, Escape::Backtick] {
            let outcomes = [
                expand(&word(&text), escape, &lookup).map(|r| r.references),
                expand_words(&word(&text), escape, &lookup).map(|r| r.references),
                expand_heredoc(&text, word(&text).span, &lookup).map(|r| r.references),
            ];
            for outcome in outcomes {
                let spans: Vec<Span> = match outcome {
                    Ok(references) => references.into_iter().map(|reference| reference.span).collect(),
                    Err(error) => vec![error.span],
                };
                for span in spans {
                    prop_assert!(text.get(span.start..span.end).is_some(), "{span:?} in {text:?}");
                }
            }
        }
    }

    #[test]
    fn text_without_special_characters_is_its_own_value(text in "[a-zA-Z0-9 .,:/=_-]{0,40}") {
        prop_assert_eq!(expand(&word(&text), Escape::Backslash, &|_| None).unwrap().value, text);
    }

    #[test]
    fn single_quoting_protects_anything(text in "[^']{0,40}") {
        let quoted = format!("'{text}'");
        prop_assert_eq!(expand(&word(&quoted), Escape::Backslash, &|_| Some("x".into())).unwrap().value, text);
    }
}
