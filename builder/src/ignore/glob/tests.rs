use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(cases: &[(&str, &str, bool)]) {
    for (pattern, path, expected) in cases {
        assert_eq!(match_go(pattern, path), Ok(*expected), "{pattern} {path}");
    }
}

#[test]
fn c5_stars_stop_at_slashes() {
    check(&[
        ("abc", "abc", true),
        ("*", "abc", true),
        ("*c", "abc", true),
        ("a*", "a", true),
        ("a*", "abc", true),
        ("a*", "ab/c", false),
        ("a*/b", "abc/b", true),
        ("a*/b", "a/c/b", false),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
        ("a*b?c*x", "abxbbxdbxebxczzx", true),
        ("a*b?c*x", "abxbbxdbxebxczzy", false),
        ("**", "a/b", false),
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("*x", "xxx", true),
    ]);
}

#[test]
fn c5_single_characters_and_classes() {
    check(&[
        ("ab[c]", "abc", true),
        ("ab[b-d]", "abc", true),
        ("ab[e-g]", "abc", false),
        ("ab[^c]", "abc", false),
        ("ab[^e-g]", "abc", true),
        ("a\\*b", "a*b", true),
        ("a\\*b", "ab", false),
        ("a?b", "a☺b", true),
        ("a[^a]b", "a☺b", true),
        ("a???b", "a☺b", false),
        ("[a-ζ]*", "α", true),
        ("*[a-ζ]", "A", false),
        ("a?b", "a/b", false),
        ("a*b", "a/b", false),
        ("[\\]a]", "]", true),
        ("[\\-]", "-", true),
        ("[x\\-]", "x", true),
        ("[x\\-]", "z", false),
        ("[[]x", "[x", true),
        ("[!a]", "!", true),
        ("[z-a]", "m", false),
        ("a[^x]b", "a/b", true),
    ]);
}

#[test]
fn c5_malformed_patterns_are_errors_even_when_nothing_matches() {
    for pattern in ["[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "\\", "a\\", "[\\", "zzz[a"] {
        assert!(match_go(pattern, "a").is_err(), "{pattern}");
        assert!(Glob::new(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn c5_wildcards_in_sources() {
    assert!(has_wildcards("a*") && has_wildcards("a/?/b") && has_wildcards("[a]"));
    assert!(!has_wildcards("a\\*b") && !has_wildcards("plain/path") && !has_wildcards("a\\"));
    assert_eq!(split_wildcards("a/b/*.c/d"), ("a/b/", "*.c/d"));
    assert_eq!(split_wildcards("*.c"), ("", "*.c"));
    assert_eq!(split_wildcards("a/b"), ("a/b", ""));
}

#[test]
fn c11_double_stars_cross_directories() {
    for (pattern, path, expected) in [
        ("**/*.txt", "a.txt", true),
        ("**/*.txt", "x/y/a.txt", true),
        ("x/**", "x/y/z", true),
        ("x/**", "x", false),
        ("x/**/z", "x/z", true),
        ("x/**/z", "x/y/y/z", true),
        ("x/**/z", "x/yz", false),
        ("x**z", "xz", true),
        ("x**z", "xa/z", true),
        ("*/**", "a", false),
        ("*/**", "a/b/c", true),
        ("a.b", "axb", false),
        ("a(b", "a(b", true),
        ("**/a[.]b", "q/a.b", true),
        ("**/a[^.]b", "q/a.b", false),
        ("[z-a]x", "zx", false),
        ("[^z-a]x", "qx", true),
        ("a\\**", "a*b", true),
        ("a\\**", "ab", false),
    ] {
        assert_eq!(Glob::new(pattern).unwrap().matches(path), expected, "{pattern} {path}");
    }
}

#[test]
fn c4_paths_are_cleaned_lexically() {
    for (path, expected) in [
        ("", "."),
        (".", "."),
        ("a/", "a"),
        ("./a//b/.", "a/b"),
        ("a/../b", "b"),
        ("a/..", "."),
        ("../a", "../a"),
        ("../../a/../b", "../../b"),
        ("/../a", "/a"),
        ("/", "/"),
        ("//a", "/a"),
    ] {
        assert_eq!(clean(path), expected, "{path}");
    }
}

#[test]
fn many_stars_take_no_time() {
    let pattern = "*a".repeat(40) + "b";
    assert_eq!(match_go(&pattern, &"a".repeat(3000)), Ok(false));
}

proptest! {
    #[test]
    fn matching_never_panics(pattern in "[\\PC*?\\[\\]\\\\^-]{0,30}", path in "\\PC{0,20}") {
        let _ = match_go(&pattern, &path);
        if let Ok(glob) = Glob::new(&pattern) {
            glob.matches(&path);
            glob.may_match_beneath(&path);
        }
    }

    /// Without `**`, both matchers mean the same.
    #[test]
    fn both_matchers_agree(pattern in "([ab/?]|\\*|\\[ab\\]|\\[\\^a\\]|\\\\\\*){0,8}", path in "[ab*/]{0,8}") {
        prop_assume!(!pattern.contains("**"));
        // Only Go commits to the first place where a class fits.
        prop_assume!(!pattern.contains("[^"));
        prop_assert_eq!(match_go(&pattern, &path).unwrap(), Glob::new(&pattern).unwrap().matches(&path));
    }
}
