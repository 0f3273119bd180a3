//! The linter's side of planning: what was found out about bases, arguments and ignore rules, handed to it as facts.

use wharf_spec::Platform;

use super::env::Env;
use super::heads::Meaning;
use super::survey::Survey;
use crate::context::ignore_rules;
use crate::dockerfile::lint::{Facts, Finding, Ground, lint};
use crate::request::{BuildRequest, ContextSource};

/// What the linter says about the file `survey` is of. `looked_into` says which stages it looks into.
pub(super) fn findings(
    request: &BuildRequest,
    survey: &Survey<'_>,
    globals: &Env,
    looked_into: &dyn Fn(usize) -> bool,
) -> Vec<Finding> {
    let predefined: Vec<(String, String)> =
        globals.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let grounds: Vec<Ground> = (0..survey.heads.list.len()).map(|position| ground(survey, position)).collect();
    let rules = match &request.context {
        Some(ContextSource::Directory(directory)) => ignore_rules(directory, request.ignore.as_deref()),
        Some(ContextSource::Image(_)) | None => None,
    };
    // Whether something below a path is taken back in cannot be told without looking.
    let rules = rules.filter(|rules| !rules.takes_back());
    let hides = |path: &str| rules.as_ref().is_some_and(|rules| rules.excludes(path));
    let facts = Facts {
        build_args: &request.build_args,
        predefined: &predefined,
        grounds: &grounds,
        looked_into,
        ignores: rules.is_some().then_some(&hides),
    };
    lint(survey.file, &facts)
}

fn ground(survey: &Survey<'_>, position: usize) -> Ground {
    if survey.heads.is_replaced(position) {
        return Ground::Unknown;
    }
    match &survey.heads.list[position].base {
        Meaning::Scratch | Meaning::Context(_) => Ground::Scratch,
        Meaning::Stage(base) => Ground::Stage(*base),
        Meaning::Image(name) => {
            let platform = survey.stage_platform(position);
            let Some(image) = survey.image(name, &platform) else { return Ground::Unknown };
            let config = &image.config;
            let env = Env::of(&config.config.env);
            let found =
                Platform { os: config.os.clone(), architecture: config.architecture.clone(), ..platform.clone() };
            let same = found.os == platform.os && found.architecture == platform.architecture;
            Ground::Image {
                env: env.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                shell: config.config.shell.as_ref().is_some_and(|shell| !shell.is_empty()),
                mismatch: (!same).then(|| (plain(&platform), plain(&found))),
            }
        }
    }
}

fn plain(platform: &Platform) -> String {
    format!("{}/{}", platform.os, platform.architecture)
}
