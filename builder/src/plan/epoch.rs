//! `SOURCE_DATE_EPOCH=<stage>`: a stage of the file that holds nothing but one source, whose time becomes the image's.
//!
//! Pure: it says which source, and whoever asked finds out how old that is.

use wharf_spec::Digest;

use super::env::Env;
use super::globals::expand_in;
use crate::dockerfile::suggest::did_you_mean;
use crate::dockerfile::{
    AddInstruction, ArgInstruction, CopySource, Diagnostic, Dockerfile, Escape, Instruction, Level, Span, Stage, Word,
};
use crate::git::GitSource;
use crate::request::BuildRequest;
use crate::settings::EPOCH;

/// What the stage names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EpochSource {
    /// A file at a URL.
    Url {
        /// `http:` or `https:`.
        url: String,
        /// What it must hash to.
        checksum: Option<Digest>,
        /// Where it is written.
        span: Span,
    },
    /// A repository.
    Repository {
        /// Which, and what of it.
        source: GitSource,
        /// Where it is written.
        span: Span,
    },
}

/// The source in the stage `name`.
pub(crate) fn epoch_source(request: &BuildRequest, file: &Dockerfile, name: &str) -> Result<EpochSource, Diagnostic> {
    let Some(stage) = file.stages.iter().find(|stage| stage.name().is_some_and(|one| one.eq_ignore_ascii_case(name)))
    else {
        let stages = file.stages.iter().filter_map(Stage::name);
        return Err(Diagnostic::new(
            Level::Error,
            format!("{EPOCH} is `{name}`, neither a number of seconds nor a stage"),
        )
        .note("it may also be `context` or the name of a --build-context")
        .maybe_help(did_you_mean(name, stages)));
    };
    // What the stage says is looked at before there is an epoch.
    let mut unset = request.clone();
    unset.build_args.remove(EPOCH);
    let (mut env, escape) = (super::global_scope(&unset, file)?, file.directives.escape());
    let base = expand_in(stage.base(), escape, &env)?.value;
    if base != "scratch" {
        return Err(unfit(stage.base().span, "this stage has a base").expected("the stage has to start FROM scratch"));
    }
    let mut found = None;
    for statement in &stage.instructions {
        match &statement.instruction {
            Instruction::Arg(arg) => declare(arg, &unset, escape, &mut env)?,
            Instruction::Add(_) if found.is_some() => {
                return Err(
                    unfit(statement.origin.head, "this is its second ADD").expected("it has to be the only one")
                );
            }
            Instruction::Add(add) => {
                found = Some(allowed(source(add, statement.origin.head, escape, &env)?, request)?);
            }
            _ => {
                let what = format!("`{}` is more than a source", statement.origin.keyword.as_str());
                return Err(unfit(statement.origin.head, &what).expected("only ARG and one ADD may stand here"));
            }
        }
    }
    found.ok_or_else(|| {
        unfit(stage.from.origin.head, "this stage has no ADD").expected("it has to ADD a URL or a repository")
    })
}

fn unfit(span: Span, what: &str) -> Diagnostic {
    Diagnostic::error(format!("{EPOCH} cannot come from here: {what}"), span)
        .help("name a stage of this form: FROM scratch AS source, then one ADD of a URL or a repository")
}

/// An argument that is given counts before the default; one without either stays what it is globally.
fn declare(arg: &ArgInstruction, request: &BuildRequest, escape: Escape, env: &mut Env) -> Result<(), Diagnostic> {
    for declaration in &arg.args {
        let name = declaration.name.as_str();
        if let Some(given) = request.build_args.get(name) {
            env.set(name, given);
        } else if let Some(default) = &declaration.default {
            let value = expand_in(default, escape, env)?.value;
            env.set(name, &value);
        }
    }
    Ok(())
}

fn source(add: &AddInstruction, span: Span, escape: Escape, env: &Env) -> Result<EpochSource, Diagnostic> {
    let [CopySource::Path(word)] = add.sources.as_slice() else {
        return Err(unfit(span, "there is not exactly one source").expected("one URL, or one repository"));
    };
    let text = expand_in(word, escape, env)?.value;
    let checksum: Option<(&Word, String)> = match &add.checksum {
        Some(word) => Some((word, expand_in(word, escape, env)?.value)),
        None => None,
    };
    if let Some(parsed) = GitSource::parse(&text) {
        let wrong = |error: &dyn std::fmt::Display, word: &Word| Diagnostic::error(error.to_string(), word.span);
        let mut source = parsed.map_err(|error| wrong(&error, word))?;
        if let Some((word, commit)) = checksum {
            source.expect(&commit).map_err(|error| wrong(&error, word))?;
        }
        return Ok(EpochSource::Repository { source, span: word.span });
    }
    if !text.starts_with("http://") && !text.starts_with("https://") {
        return Err(unfit(word.span, "this is a path").expected("a URL or a repository"));
    }
    let digest = |(word, text): (&Word, String)| {
        text.parse::<Digest>().map_err(|error| {
            Diagnostic::error(format!("`{text}` is no checksum"), word.span).expected(error.to_string())
        })
    };
    Ok(EpochSource::Url { url: text, checksum: checksum.map(digest).transpose()?, span: word.span })
}

/// What policies make of it.
fn allowed(source: EpochSource, request: &BuildRequest) -> Result<EpochSource, Diagnostic> {
    match source {
        EpochSource::Url { url, checksum, span } => match request.policies.url(&url, checksum) {
            Ok((url, checksum)) => Ok(EpochSource::Url { url, checksum, span }),
            Err(error) => Err(Diagnostic::error(error.to_string(), span).maybe_help(error.hint())),
        },
        EpochSource::Repository { source, span } => match request.policies.repository(source) {
            Ok(source) => Ok(EpochSource::Repository { source, span }),
            Err(error) => Err(Diagnostic::error(error.to_string(), span).maybe_help(error.hint())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::parse;
    use crate::request::DockerfileText;

    fn read(text: &str) -> Result<String, String> {
        let name = "Dockerfile".to_owned();
        let mut request = BuildRequest::new(DockerfileText { name, text: text.to_owned() });
        request.build_args.insert("V".to_owned(), "2".to_owned());
        request.build_args.insert(EPOCH.to_owned(), "src".to_owned());
        match epoch_source(&request, &parse(text).unwrap(), "Src") {
            Ok(EpochSource::Url { url, .. }) => Ok(url),
            Ok(EpochSource::Repository { source, .. }) => Ok(format!("{} {:?}", source.remote, source.reference)),
            Err(error) => Err(error.title),
        }
    }

    #[test]
    fn a9_a_stage_of_one_source_is_found() {
        for (text, source) in [
            ("FROM scratch AS src\nADD https://h/a-$V.tgz /\nFROM scratch\n", "https://h/a-.tgz"),
            ("FROM scratch AS src\nARG V=1\nADD https://h/a-$V.tgz /\n", "https://h/a-2.tgz"),
            ("ARG H=h\nFROM scratch AS src\nARG R=r\nADD https://$H/$R.git#v1 /\n", "https://h/r.git Some(\"v1\")"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(source), "{text}");
        }
    }

    #[test]
    fn a9_a_stage_that_is_more_than_a_source_is_refused() {
        for (text, words) in [
            ("FROM scratch AS sec\n", "neither a number of seconds nor a stage"),
            ("FROM alpine AS src\nADD https://h/a /\n", "this stage has a base"),
            ("FROM scratch AS src\nADD https://h/a /\nRUN x\n", "`RUN` is more than a source"),
            ("FROM scratch AS src\nADD https://h/a /\nADD https://h/b /\n", "this is its second ADD"),
            ("FROM scratch AS src\nADD https://h/a https://h/b /\n", "not exactly one source"),
            ("FROM scratch AS src\nADD a /\n", "this is a path"),
            ("FROM scratch AS src\nARG A\n", "this stage has no ADD"),
            ("FROM scratch AS src\nADD --checksum=sha256:1 https://h/a /\n", "is no checksum"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
