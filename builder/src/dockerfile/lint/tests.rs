use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;
use crate::dockerfile::parse;
use crate::ignore::IgnoreFile;

/// `line:column-length rule: detail`, for bases that are known and set `BASE=1`.
fn found(text: &str) -> Vec<String> {
    found_with(text, &BTreeMap::new(), "notes")
}

fn found_with(text: &str, build_args: &BTreeMap<String, String>, ignore: &str) -> Vec<String> {
    let file = parse(text).unwrap_or_else(|error| panic!("{}: {text}", error.title));
    let grounds: Vec<Ground> = file.stages.iter().enumerate().map(|(here, stage)| ground(&file, here, stage)).collect();
    let rules = IgnoreFile::parse(ignore).unwrap();
    let ignores = |path: &str| rules.excludes(path);
    let predefined = [("TARGETPLATFORM", "linux/amd64"), ("BUILDPLATFORM", "linux/amd64")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let facts = Facts {
        build_args,
        predefined: &predefined,
        grounds: &grounds,
        looked_into: &|_| true,
        ignores: Some(&ignores),
    };
    let line = |finding: Finding| {
        let before = &text[..finding.span.start];
        let line = before.matches('\n').count() + 1;
        let place = &text[finding.span.start..finding.span.end];
        assert!(finding.statement.start <= finding.span.end || finding.rule.name == "InvalidDefinitionDescription");
        format!("{line} {} [{place}]", finding.rule.name)
    };
    lint(&file, &facts).into_iter().map(line).collect()
}

fn ground(file: &crate::dockerfile::Dockerfile, here: usize, stage: &crate::dockerfile::Stage) -> Ground {
    let base = stage.base().as_str();
    if let Some(position) = file.stages[..here].iter().position(|other| other.name() == Some(base)) {
        return Ground::Stage(position);
    }
    match base {
        "scratch" => Ground::Scratch,
        "unknown" => Ground::Unknown,
        name => Ground::Image {
            env: vec![("BASE".to_owned(), "1".to_owned())],
            shell: name == "with-shell",
            mismatch: name.starts_with("arm64v8/").then(|| ("linux/amd64".to_owned(), "linux/arm64".to_owned())),
        },
    }
}

#[test]
fn pages_show_what_is_found_and_what_is_not() {
    for rule in RULES {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/lint/{}.md", rule.name));
        let text = fs::read_to_string(page).unwrap();
        let examples: Vec<&str> =
            text.split("```dockerfile\n").skip(1).map(|part| part.split("```").next().unwrap()).collect();
        let [bad, good] = examples.as_slice() else { panic!("{} shows a bad and a good example", rule.name) };
        let names = |text: &str| -> Vec<String> {
            found(text).iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
        };
        assert_eq!(names(bad), [rule.name], "the bad example of {}", rule.name);
        assert_eq!(found(good), Vec::<String>::new(), "the good example of {}", rule.name);
        let skipped =
            format!("# check=skip={};experimental=all\n{}", rule.name, bad.replace("# check=experimental", "#"));
        assert_eq!(found(&skipped), Vec::<String>::new(), "{} can be skipped", rule.name);
    }
}

#[test]
fn findings_point_at_the_word() {
    for (text, expect) in [
        ("FROM scratch as Build\n", vec!["1 FromAsCasing [as]", "1 StageNameCasing [Build]"]),
        ("from scratch AS b\n", vec!["1 FromAsCasing [AS]"]),
        ("FROM scratch\nCopy a /\n", vec!["2 ConsistentInstructionCasing [Copy]"]),
        ("from scratch\nCMD [\"a\"]\n", vec!["1 ConsistentInstructionCasing [from]"]),
        (
            "FROM scratch\nCMD a\nCMD b $x\n",
            vec![
                "2 MultipleInstructionsDisallowed [CMD a]",
                "2 JSONArgsRecommended [a]",
                "3 JSONArgsRecommended [b $x]",
            ],
        ),
        ("FROM with-shell\nCMD a\n", vec![]),
        ("FROM scratch\nSHELL [\"/s\"]\nCMD a\n", vec![]),
        ("FROM scratch\nENV A=$B C=${D:-x} E=$B\n", vec!["2 UndefinedVar [$B]", "2 UndefinedVar [$B]"]),
        ("FROM base\nENV A=$BASE B=$PATH\n", vec![]),
        ("FROM unknown\nENV A=$WHATEVER\nWORKDIR x\n", vec!["3 WorkdirRelativePath [x]"]),
        ("FROM scratch AS a\nARG V=1\nWORKDIR /x\nFROM a\nENV W=$V\nWORKDIR y\n", vec![]),
        ("ARG V=1\nFROM scratch\nENV W=$V\n", vec!["3 UndefinedVar [$V]"]),
        ("ARG V=1\nFROM scratch\nARG V\nENV W=$V\n", vec![]),
        ("FROM scratch\nARG V\nENV W=$V\n", vec![]),
        ("FROM scratch\nCOPY <<x /\n$NO\nx\n", vec!["3 UndefinedVar [$NO]"]),
        ("FROM scratch\nCOPY <<'x' /\n$NO\nx\n", vec![]),
        ("FROM scratch\nEXPOSE 1/TCP $P\n", vec!["2 ExposeProtoCasing [1/TCP]", "2 UndefinedVar [$P]"]),
        ("FROM scratch\nENV API_KEY=1 PUBLIC_KEY=2 MONKEY=3\n", vec!["2 SecretsUsedInArgOrEnv [API_KEY]"]),
        ("FROM scratch\nLABEL a b c\n", vec!["2 LegacyKeyValueFormat [a b c]"]),
        ("FROM scratch\nCOPY ./notes/a readme /x/\n", vec!["2 CopyIgnoredFile [./notes/a]"]),
        ("FROM scratch\nCOPY --from=base notes/a /x/\n", vec![]),
        ("FROM scratch\nRUN --mount=type=cache,target=$T true\n", vec!["2 UndefinedVar [$T]"]),
        ("FROM scratch\nADD https://x.example/notes /\n", vec![]),
        ("FROM base AS context\n", vec!["1 ReservedStageName [context]"]),
    ] {
        assert_eq!(found(text), expect, "{text}");
    }
}

#[test]
fn comments_above_an_instruction_skip_rules_there_only() {
    let text = "FROM scratch\n# check=skip=JSONArgsRecommended\n# why\nCMD a\nENTRYPOINT b\n";
    assert_eq!(found(text), ["5 JSONArgsRecommended [b]"]);
    let detached = "FROM scratch\n# check=skip=JSONArgsRecommended\n\nCMD a\n";
    assert_eq!(found(detached), ["4 JSONArgsRecommended [a]"]);
}

#[test]
fn a_build_argument_stands_in_for_the_directive() {
    let text = "# check=skip=StageNameCasing\nFROM scratch AS A\nCMD a\n";
    let given = |value: &str| BTreeMap::from([("BUILDKIT_DOCKERFILE_CHECK".to_owned(), value.to_owned())]);
    let names = |args: &BTreeMap<String, String>| found_with(text, args, "x");
    assert_eq!(names(&given("skip=JSONArgsRecommended;error=true")), ["2 StageNameCasing [A]"]);
    assert_eq!(names(&given("skip=all")), Vec::<String>::new());
    let file = parse(text).unwrap();
    assert!(fails_on_findings(&file, &given("error=true")) && !fails_on_findings(&file, &given("")));
}
