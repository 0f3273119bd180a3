use proptest::prelude::*;

use super::*;

fn file(text: &str) -> IgnoreFile {
    IgnoreFile::parse(text).unwrap()
}

#[track_caller]
fn check(text: &str, excluded: &[&str], kept: &[&str]) {
    let file = file(text);
    for path in excluded {
        assert!(file.excludes(path), "{path} should be excluded by\n{text}");
    }
    for path in kept {
        assert!(!file.excludes(path), "{path} should be kept by\n{text}");
    }
}

#[test]
fn ignore_an_empty_file_excludes_nothing() {
    check("", &[], &["a", "a/b", ".", ""]);
    check("\n  \n# only a comment\n", &[], &["# only a comment"]);
    assert!(file("\n").is_empty());
}

#[test]
fn ignore_comments_only_in_the_first_column() {
    check("#a\n #b\n", &["#b"], &["#a", "a", "b"]);
}

#[test]
fn ignore_lines_are_trimmed_cleaned_and_made_relative() {
    check("  a  \r\n/b\n./c/\n//d//e/\nf/../g\nh/./i\n", &["a", "b", "c", "d/e", "g", "h/i", "c/x"], &["f", "d", "h"]);
}

#[test]
fn ignore_byte_order_mark_is_removed() {
    check("\u{feff}a\n", &["a"], &[]);
    check("\u{feff}# c\nb", &["b"], &["# c"]);
}

#[test]
fn ignore_the_root_is_never_excluded() {
    check(".\n", &[], &[".", "", "a"]);
    check("**\n", &["a", "a/b"], &[".", ""]);
    check("/\n", &[], &["a"]);
}

#[test]
fn ignore_a_directory_excludes_what_is_in_it() {
    check(
        "node_modules\n",
        &["node_modules", "node_modules/a", "node_modules/a/b"],
        &["x/node_modules", "node_modules2"],
    );
    check("a/b\n", &["a/b/c/d"], &["a", "a/c", "x/a/b"]);
}

#[test]
fn ignore_the_last_match_wins() {
    check("*.md\n!README.md\n", &["a.md"], &["README.md", "a/b.md"]);
    check("*.md\n!README*.md\nREADME-secret.md\n", &["README-secret.md", "x.md"], &["README.md", "README-a.md"]);
    check("!a\na\n", &["a"], &[]);
    check("!README-secret.md\n*.md\n", &["README-secret.md"], &[]);
}

#[test]
fn ignore_a_child_of_an_excluded_directory_can_be_included_again() {
    check("a\n!a/keep\n", &["a", "a/x", "a/keeper"], &["a/keep", "a/keep/deep"]);
    check("*\n!src/**/*.rs\n", &["x", "src", "src/x.c"], &["src/a.rs", "src/deep/er/a.rs"]);
    check("*\n!src\nsrc/gen\n", &["src/gen", "src/gen/a"], &["src", "src/a"]);
    check("**\n!a/b/c\n", &["a", "a/b", "a/b/d"], &["a/b/c", "a/b/c/d"]);
}

#[test]
fn ignore_double_stars() {
    check("**/*.go\n", &["a.go", "x/a.go", "x/y/a.go"], &["a.god"]);
    check("a/**\n", &["a/b", "a/b/c"], &["a", "b/a/c"]);
    check("a/**/z\n", &["a/z", "a/b/z", "a/b/c/z"], &["z", "a/b", "b/a/z"]);
    check("**/foo\n", &["foo", "a/foo", "a/b/foo", "foo/x"], &["afoo", "foox"]);
    check("**foo\n", &["foo", "afoo", "a/foo", "a/bfoo"], &["foox"]);
    check("foo**\n", &["foo", "foox", "foo/x"], &["xfoo"]);
    check("**/a/**\n", &["a/b", "x/a/b"], &["a", "x/a"]);
}

#[test]
fn ignore_an_exclamation_mark_may_be_followed_by_blanks_and_a_slash() {
    check("*\n!  /a/\n", &["b"], &["a"]);
}

#[test]
fn ignore_a_lone_exclamation_mark_is_an_error() {
    let error = IgnoreFile::parse("a\n  !  \n").unwrap_err();
    assert_eq!((error.line, error.cause.clone()), (2, IgnoreFault::LoneExclamationMark));
    assert_eq!(error.span, Span::new(4, 5));
    let text = crate::dockerfile::render(&error.into(), ".dockerignore", "a\n  !  \n", false);
    assert!(text.contains(".dockerignore:2:3"), "{text}");
}

#[test]
fn ignore_a_malformed_pattern_is_an_error() {
    let error = IgnoreFile::parse("ok\n[a-\n").unwrap_err();
    assert_eq!(error.line, 2);
    assert!(matches!(error.cause, IgnoreFault::Pattern(_)));
    assert!(IgnoreFile::parse("a\\").is_err());
}

#[test]
fn ignore_patterns_given_one_by_one() {
    let excludes = IgnoreFile::from_patterns(["*.txt", " ", "!a.txt"]).unwrap();
    assert!(excludes.excludes("b.txt") && !excludes.excludes("a.txt"));
    assert!(IgnoreFile::from_patterns(["!"]).is_err());
}

#[test]
fn ignore_a_walker_skips_what_cannot_come_back() {
    let skips = |text: &str, directory: &str| file(text).may_skip(directory);
    assert!(skips("a\n", "a"));
    assert!(skips("a\n", "a/b"));
    assert!(!skips("a\n", "b"), "not excluded");
    assert!(!skips("*\n!a/keep\n", "a"));
    assert!(skips("*\n!a/keep\n", "b"));
    assert!(skips("*\n!a/keep\n", "a/other"));
    assert!(!skips("*\n!**/keep\n", "b"));
    assert!(!skips("*\n!*/keep\n", "b"));
    assert!(skips("*\n!*/keep\n", "b/c"));
    assert!(skips("*\n!keep\n", "b"), "a pattern as long as the path matches nothing beneath");
    assert!(skips("!a\na\n", "a"), "the rule that includes again comes too early");
    assert!(!skips("*\n!a[^x]keep\n", "a"), "a class may cover a slash");
}

proptest! {
    #[test]
    fn ignore_never_panics(text in "[\\PC\\n!#*?\\[\\]\\\\^/.-]{0,60}", path in "[a-c*?\\[/.]{0,12}") {
        if let Ok(file) = IgnoreFile::parse(&text) {
            file.excludes(&path);
            file.may_skip(&path);
        }
    }

    /// Whatever lies beneath a skipped directory is excluded.
    #[test]
    fn ignore_skipping_loses_nothing(
        lines in proptest::collection::vec("!?[ab*?]{1,2}(/[ab*]{1,2}){0,2}", 0..6),
        directory in "[ab](/[ab]){0,2}",
        beneath in "[ab](/[ab]){0,2}",
    ) {
        let file = IgnoreFile::parse(&lines.join("\n")).unwrap();
        if file.may_skip(&directory) {
            let path = format!("{directory}/{beneath}");
            prop_assert!(file.excludes(&path), "{:?} loses {}", lines, path);
        }
    }

    /// A walker that hands matches down sees what a single question sees.
    #[test]
    fn ignore_walking_and_asking_agree(
        lines in proptest::collection::vec("!?(\\*\\*/)?[ab*?]{1,2}(/[ab*]{1,2}){0,2}", 0..6),
        path in "[ab]{1,2}(/[ab]{1,2}){0,3}",
    ) {
        let file = IgnoreFile::parse(&lines.join("\n")).unwrap();
        let expected = lines.iter().rev().find_map(|line| {
            let (pattern, include) = line.strip_prefix('!').map_or((line.as_str(), false), |rest| (rest, true));
            let glob = Glob::new(&glob::clean(pattern)).unwrap();
            let mut ancestors = path.match_indices('/').map(|(slash, _)| slash).chain([path.len()]);
            ancestors.any(|end| glob.matches(&path[..end])).then_some(!include)
        });
        prop_assert_eq!(file.excludes(&path), expected.unwrap_or(false), "{:?} {}", lines, path);
    }
}

#[test]
fn the_rule_that_leaves_a_path_out_is_known() {
    let file = file("# c\n*.md\n!a.md\nd\n");
    assert_eq!(file.culprit("b.md"), Some(("*.md", 2)));
    assert_eq!(file.culprit("a.md"), None);
    assert_eq!(file.culprit("d/e/f"), Some(("d", 4)));
    assert_eq!(file.culprit("x"), None);
}
