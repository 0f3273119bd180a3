//! The rules, as data: name, what each asks for, and whether it has to be asked for itself.
//!
//! Names are those of Docker's linter, so that `# check=skip=…` means the same to both. `docs/lint/` has a page for each.

use Standing::{Experimental, Settled};

/// A rule of the linter.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, as `# check=skip=` takes it.
    pub name: &'static str,
    /// What it asks of a Dockerfile, in a sentence.
    pub summary: &'static str,
    /// Whether it is on.
    pub standing: Standing,
}

/// Whether a rule is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// On unless it is skipped.
    Settled,
    /// Off unless `# check=experimental=` names it.
    Experimental,
}

impl Rule {
    /// Where Docker explains it.
    pub fn url(&self) -> String {
        format!("https://docs.docker.com/go/dockerfile/rule/{}/", self.slug())
    }

    /// `JSONArgsRecommended` is `json-args-recommended`.
    fn slug(&self) -> String {
        let letters: Vec<char> = self.name.chars().collect();
        let mut slug = String::new();
        for (at, letter) in letters.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|before| letters.get(before));
            let after = letters.get(at + 1);
            let begins = letter.is_ascii_uppercase()
                && before
                    .is_some_and(|before| before.is_ascii_lowercase() || after.is_some_and(char::is_ascii_lowercase));
            if begins {
                slug.push('-');
            }
            slug.push(letter.to_ascii_lowercase());
        }
        slug
    }
}

macro_rules! rules {
    ($($constant:ident $name:literal $standing:ident $summary:literal)+) => {
        $(pub(super) static $constant: Rule = Rule { name: $name, summary: $summary, standing: $standing };)+
        /// All of them.
        pub static RULES: &[&Rule] = &[$(&$constant),+];
    };
}

rules! {
    STAGE_NAME_CASING "StageNameCasing" Settled "names of stages are written in lower case"
    FROM_AS_CASING "FromAsCasing" Settled "FROM and AS of one line are both upper or both lower case"
    NO_EMPTY_CONTINUATION "NoEmptyContinuation" Settled "no blank line stands inside a continued instruction"
    CONSISTENT_INSTRUCTION_CASING "ConsistentInstructionCasing" Settled "all instructions of a file are in one casing"
    DUPLICATE_STAGE_NAME "DuplicateStageName" Settled "no two stages have the same name"
    RESERVED_STAGE_NAME "ReservedStageName" Settled "no stage is named scratch or context"
    JSON_ARGS_RECOMMENDED "JSONArgsRecommended" Settled "CMD and ENTRYPOINT are JSON arrays, so that signals reach the program"
    MAINTAINER_DEPRECATED "MaintainerDeprecated" Settled "a label, not MAINTAINER, names the author"
    UNDEFINED_ARG_IN_FROM "UndefinedArgInFrom" Settled "variables in FROM are declared before the first FROM"
    WORKDIR_RELATIVE_PATH "WorkdirRelativePath" Settled "the first WORKDIR of a stage is absolute"
    UNDEFINED_VAR "UndefinedVar" Settled "variables are set before they are used"
    MULTIPLE_INSTRUCTIONS_DISALLOWED "MultipleInstructionsDisallowed" Settled "a stage has one CMD, one ENTRYPOINT and one HEALTHCHECK"
    LEGACY_KEY_VALUE_FORMAT "LegacyKeyValueFormat" Settled "ENV and LABEL are written key=value"
    INVALID_BASE_IMAGE_PLATFORM "InvalidBaseImagePlatform" Settled "a base image is made for the platform of its stage"
    REDUNDANT_TARGET_PLATFORM "RedundantTargetPlatform" Settled "--platform=$TARGETPLATFORM is left out: it is the default"
    SECRETS_USED_IN_ARG_OR_ENV "SecretsUsedInArgOrEnv" Settled "secrets come by RUN --mount=type=secret, not by ARG or ENV"
    INVALID_DEFAULT_ARG_IN_FROM "InvalidDefaultArgInFrom" Settled "FROM names an image without any --build-arg"
    FROM_PLATFORM_FLAG_CONST_DISALLOWED "FromPlatformFlagConstDisallowed" Settled "--platform of FROM is not a constant"
    COPY_IGNORED_FILE "CopyIgnoredFile" Settled "COPY and ADD name no file that .dockerignore leaves out"
    INVALID_DEFINITION_DESCRIPTION "InvalidDefinitionDescription" Experimental "a comment above FROM or ARG begins with the name it describes"
    EXPOSE_PROTO_CASING "ExposeProtoCasing" Settled "protocols in EXPOSE are written in lower case"
    EXPOSE_INVALID_FORMAT "ExposeInvalidFormat" Settled "EXPOSE names ports of the container only"
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_rule_has_its_page_and_every_page_its_rule() {
        let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lint");
        let names = |entry: std::io::Result<fs::DirEntry>| {
            let path = entry.unwrap().path();
            path.file_stem().unwrap().to_string_lossy().into_owned()
        };
        let pages_found: BTreeSet<String> =
            fs::read_dir(&pages).unwrap().map(names).filter(|name| name != "README").collect();
        let rules: BTreeSet<String> = RULES.iter().map(|rule| rule.name.to_owned()).collect();
        assert_eq!(rules, pages_found);
        let list = fs::read_to_string(pages.join("README.md")).unwrap();
        for rule in RULES {
            let page = fs::read_to_string(pages.join(format!("{}.md", rule.name))).unwrap();
            assert!(page.starts_with(&format!("# {}\n", rule.name)), "{}", rule.name);
            assert!(page.contains("```dockerfile"), "{} shows no example", rule.name);
            assert!(
                list.contains(&format!("[{0}]({0}.md) | {1}", rule.name, rule.summary)),
                "{} in the list",
                rule.name
            );
        }
    }

    #[test]
    fn addresses_are_those_of_dockers_pages() {
        let slug = |name: &str| RULES.iter().find(|rule| rule.name == name).unwrap().url();
        let page = |end: &str| format!("https://docs.docker.com/go/dockerfile/rule/{end}/");
        assert_eq!(slug("JSONArgsRecommended"), page("json-args-recommended"));
        assert_eq!(slug("FromAsCasing"), page("from-as-casing"));
        assert_eq!(slug("UndefinedArgInFrom"), page("undefined-arg-in-from"));
    }
}
