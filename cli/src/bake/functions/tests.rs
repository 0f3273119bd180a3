use super::{TABLE, find};
use crate::bake::value::Value;

/// Calls a function with arguments in JSON; gives JSON, or `error`.
fn call(name: &str, arguments: &str) -> String {
    let arguments: serde_json::Value = serde_json::from_str(arguments).unwrap();
    let arguments: Vec<Value> = arguments.as_array().unwrap().iter().map(Value::from_json).collect();
    find(name).unwrap()(&arguments).map_or_else(|_| "error".to_owned(), |value| value.to_json().to_string())
}

#[test]
fn the_table_is_in_order_and_each_name_once() {
    let mut names: Vec<_> = TABLE.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TABLE.len());
}

#[test]
fn functions_give_what_gos_library_gives() {
    for (name, arguments, expected) in [
        ("absolute", "[-2]", "2"),
        ("add", "[1, 2.5]", "3.5"),
        ("base64decode", r#"["aGk="]"#, r#""hi""#),
        ("base64decode", r#"["?"]"#, "error"),
        ("basename", r#"["/a/b.txt"]"#, r#""b.txt""#),
        ("basename", r#"[""]"#, r#"".""#),
        ("bytesslice", r#"["abc", 1, 1]"#, r#""b""#),
        ("ceil", "[1.2]", "2"),
        ("chomp", r#"["a\n\n"]"#, r#""a""#),
        ("chunklist", "[[1,2,3], 2]", "[[1,2],[3]]"),
        ("cidrhost", r#"["10.12.112.0/20", 16]"#, r#""10.12.112.16""#),
        ("cidrhost", r#"["fd00:fd12:3456:7890::/72", 34]"#, r#""fd00:fd12:3456:7890::22""#),
        ("cidrnetmask", r#"["172.16.0.0/12"]"#, r#""255.240.0.0""#),
        ("cidrsubnet", r#"["172.16.0.0/12", 4, 2]"#, r#""172.18.0.0/16""#),
        ("cidrsubnet", r#"["172.16.0.0/12", 4, 16]"#, "error"),
        (
            "cidrsubnets",
            r#"["10.1.0.0/16", 4, 4, 8, 4]"#,
            r#"["10.1.0.0/20","10.1.16.0/20","10.1.32.0/24","10.1.48.0/20"]"#,
        ),
        ("coalesce", r#"[null, "a"]"#, r#""a""#),
        ("compact", r#"[["a", "", null, "b"]]"#, r#"["a","b"]"#),
        ("contains", r#"[["a"], "a"]"#, "true"),
        ("csvdecode", r#"["a,b\n1,2\n"]"#, r#"[{"a":"1","b":"2"}]"#),
        ("dirname", r#"["/a/b.txt"]"#, r#""/a""#),
        ("dirname", r#"["b.txt"]"#, r#"".""#),
        ("divide", "[1, 0]", "error"),
        ("element", "[[1,2,3], 4]", "2"),
        ("flatten", "[[1,[2,[3]]]]", "[1,2,3]"),
        ("format", r#"["%s-%03d-%.2f %q %v", "a", 7, 1.5, "x", [1]]"#, r#""a-007-1.50 \"x\" [1]""#),
        ("format", r#"["%[2]s %[1]s", "a", "b"]"#, r#""b a""#),
        ("format", r#"["%-4s|%4s|%+d", "a", "b", 3]"#, r#""a   |   b|+3""#),
        ("format", r#"["%s"]"#, "error"),
        ("formatdate", r#"["DD MMM YYYY hh:mm ZZZ", "2018-01-02T23:12:01Z"]"#, r#""02 Jan 2018 23:12 UTC""#),
        (
            "formatdate",
            r#"["EEEE, H 'o''clock' AA Z", "2018-01-02T23:12:01-08:00"]"#,
            r#""Tuesday, 11 o'clock PM -08:00""#,
        ),
        ("formattimestamp", r#"["YYYY-MM-DD", 0]"#, r#""1970-01-01""#),
        ("formattimestamp", r#"["X", "1970-01-01T00:01:00Z"]"#, r#""60""#),
        ("formatlist", r#"["%s:%s", "a", ["1", "2"]]"#, r#"["a:1","a:2"]"#),
        ("hasindex", "[[1], 1]", "false"),
        ("indent", r#"[2, "a\nb"]"#, r#""a\n  b""#),
        ("indexof", r#"[["a","b"], "b"]"#, "1"),
        ("join", r#"["-", ["a"], ["b"]]"#, r#""a-b""#),
        ("jsonencode", r#"[{"a": "<"}]"#, r#""{\"a\":\"\\u003c\"}""#),
        ("length", r#"["abc"]"#, "error"),
        ("log", "[8, 2]", "3"),
        ("lookup", r#"[{"a": 1}, "b", 2]"#, "2"),
        ("md5", r#"["hello"]"#, r#""5d41402abc4b2a76b9719d911017c592""#),
        ("merge", r#"[{"a": 1}, {"a": 2, "b": 3}]"#, r#"{"a":2,"b":3}"#),
        ("parseint", r#"["ff", 16]"#, "255"),
        ("pow", "[2, 10]", "1024"),
        ("range", "[3]", "[0,1,2]"),
        ("range", "[5, 1, -2]", "[5,3]"),
        ("range", "[9999]", "error"),
        ("regex", r#"["([a-z]+)(\\d+)", "ab12"]"#, r#"["ab","12"]"#),
        ("regex", r#"["(?P<x>[a-z]+)", "ab12"]"#, r#"{"x":"ab"}"#),
        ("regex_replace", r#"["a1b2", "[0-9]", "-"]"#, r#""a-b-""#),
        ("regexall", r#"["[a-z]", "a1b"]"#, r#"["a","b"]"#),
        ("sanitize", r#"["a.b/c"]"#, r#""a_b_c""#),
        ("semvercmp", r#"["1.2.3", ">= 1.2, < 2"]"#, "true"),
        ("semvercmp", r#"["1.2.3", "^1.3 || ~1.2.0"]"#, "true"),
        ("semvercmp", r#"["2.0.0-rc1", ">= 1"]"#, "false"),
        ("semvercmp", r#"["1.5.0", "1.x"]"#, "true"),
        ("semvercmp", r#"["0.3.0", "^0.2.1"]"#, "false"),
        ("semvercmp", r#"["1.4.5", "1.2 - 1.4.5"]"#, "true"),
        ("semvercmp", r#"["x", "1"]"#, "error"),
        ("setproduct", r#"[["a","b"], [1,2]]"#, r#"[["a",1],["a",2],["b",1],["b",2]]"#),
        ("setsubtract", "[[1,2,3], [2]]", "[1,3]"),
        ("setsymmetricdifference", "[[1,2], [2,3]]", "[1,3]"),
        ("setunion", "[[2,1], [2,3]]", "[1,2,3]"),
        ("sha1", r#"["hello"]"#, r#""aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d""#),
        ("slice", "[[1,2,3], 1, 2]", "[2]"),
        ("sort", r#"[["b","a"]]"#, r#"["a","b"]"#),
        ("split", r#"[",", "a,b"]"#, r#"["a","b"]"#),
        ("strlen", r#"["äb"]"#, "2"),
        ("substr", r#"["hello", -3, -1]"#, r#""llo""#),
        ("timeadd", r#"["2026-01-31T23:30:00Z", "1h30m"]"#, r#""2026-02-01T01:00:00Z""#),
        ("title", r#"["hello big world"]"#, r#""Hello Big World""#),
        ("trim", r#"["?!a!?", "!?"]"#, r#""a""#),
        ("trimprefix", r#"["v1.2", "v"]"#, r#""1.2""#),
        ("urlencode", r#"["a b&c"]"#, r#""a+b%26c""#),
        ("uuidv5", r#"["dns", "www.example.com"]"#, r#""2ed6657d-e927-568b-95e1-2665a8aea6a2""#),
        ("zipmap", r#"[["a","b"], [1,2]]"#, r#"{"a":1,"b":2}"#),
    ] {
        assert_eq!(call(name, arguments), expected, "{name}({arguments})");
    }
}

#[test]
fn a_moment_has_all_its_parts() {
    let parts = call("unixtimestampparse", "[1690328596]");
    for part in
        [r#""rfc3339":"2023-07-25T23:43:16Z""#, r#""weekday_name":"Tuesday""#, r#""iso_week":30"#, r#""year_day":206"#]
    {
        assert!(parts.contains(part), "{part} in {parts}");
    }
}

#[test]
fn random_things_have_their_shape() {
    let id = call("uuidv4", "[]");
    assert_eq!((id.len(), &id[15..16]), (38, "4"));
    let hash = call("bcrypt", r#"["secret", 4]"#);
    assert!(bcrypt::verify("secret", hash.trim_matches('"')).unwrap());
    assert!(call("timestamp", "[]").ends_with("Z\""));
}
