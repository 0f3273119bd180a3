//! Build policies in Rego: which there are for a build, from flags and from the file beside the Dockerfile.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wharf_builder::dockerfile::suggest::did_you_mean;
use wharf_builder::policy::{BuildPolicy, Circumstances, Policies, PolicyError, PolicyFiles, PolicyText};
use wharf_builder::settings::truth;

use crate::builds::read_text;
use crate::csv;
use crate::failure::Failure;
use crate::session::Session;

/// What `--policy` says, as far as it is said by name.
const FIELDS: [&str; 5] = ["filename", "reset", "disabled", "strict", "log-level"];
/// How much is told of policies, the quietest first; with what Docker prints it as.
const LEVELS: [(&str, &str); 8] = [
    ("panic", "panic"),
    ("fatal", "fatal"),
    ("error", "error"),
    ("warn", "warning"),
    ("warning", "warning"),
    ("info", "info"),
    ("debug", "debug"),
    ("trace", "trace"),
];
/// What begins the names of files where the user is.
const HERE: &str = "cwd://";
/// What is put behind a Dockerfile's name.
const EXTENSION: &str = ".rego";

/// One `--policy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFlag {
    /// The files of one policy, in the context or, with `cwd://`, where the user is.
    pub files: Vec<String>,
    /// Whether policies before this one count for nothing.
    pub reset: bool,
    /// Whether there is none at all.
    pub disabled: bool,
    /// Whether a builder without policies is an error. This one has them.
    pub strict: Option<bool>,
    /// How much is told.
    pub level: Option<&'static str>,
}

impl PolicyFlag {
    /// Reads the text of a flag.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut flag = Self::default();
        let fields = csv::fields(text).ok_or_else(|| "quotes begin and end a whole field".to_owned())?;
        for (name, value) in fields {
            let Some(value) = value else { return Err(format!("`{name}` has no value: write filename={name}")) };
            flag.set(&name, &value)?;
        }
        Ok(flag)
    }

    /// Sets one field.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let flag = || truth(value).ok_or_else(|| format!("{name} is true or false, not `{value}`"));
        match name {
            "filename" if value.is_empty() => return Err("filename is empty".to_owned()),
            "filename" => self.files.push(value.to_owned()),
            "reset" => self.reset = flag()?,
            "disabled" => self.disabled = flag()?,
            "strict" => self.strict = Some(flag()?),
            "log-level" => {
                let level = LEVELS.iter().find(|(level, _)| level.eq_ignore_ascii_case(value));
                self.level = Some(level.ok_or_else(|| format!("there is no log-level `{value}`"))?.1);
            }
            _ => {
                let near = did_you_mean(name, FIELDS).map(|near| format!("; {near}")).unwrap_or_default();
                return Err(format!("`{name}` is not known{near}"));
            }
        }
        Ok(())
    }

    /// The flag as text, from which it can be read again.
    pub fn text(&self) -> String {
        let mut fields: Vec<String> = self.files.iter().map(|file| csv::field(&format!("filename={file}"))).collect();
        fields.extend(self.reset.then(|| "reset=true".to_owned()));
        fields.extend(self.disabled.then(|| "disabled=true".to_owned()));
        fields.extend(self.strict.map(|strict| format!("strict={strict}")));
        fields.extend(self.level.map(|level| format!("log-level={level}")));
        fields.join(",")
    }

    fn says_more(&self) -> bool {
        let Self { files, reset, disabled: _, strict, level } = self;
        !files.is_empty() || *reset || *strict == Some(true) || level.is_some()
    }
}

/// The policies a build is to have, by their files.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of each, its files.
    pub policies: Vec<Vec<Place>>,
    /// Whether they are heard.
    pub heard: bool,
}

/// Where a file of a policy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Beside the Dockerfile, where there may be none.
    Beside,
    /// As a flag names it.
    Named(String),
}

impl Wanted {
    /// Reads flags.
    pub fn of(texts: &[String]) -> Result<Self, Failure> {
        let parsed = texts.iter().map(|text| {
            PolicyFlag::parse(text).map_err(|reason| {
                Failure::usage(format!("--policy {text}: {reason}"))
                    .hint("write --policy filename=FILE, reset=true, disabled=true, strict=true or log-level=LEVEL")
            })
        });
        let flags: Vec<PolicyFlag> = parsed.collect::<Result<_, _>>()?;
        if let Some(disabled) = flags.iter().find(|flag| flag.disabled) {
            if flags.len() > 1 || disabled.says_more() {
                return Err(Failure::usage("--policy disabled=true stands alone: it cannot be combined with others"));
            }
            return Ok(Self::default());
        }
        let mut wanted = Self { policies: vec![vec![Place::Beside]], heard: false };
        for flag in flags {
            if flag.reset {
                wanted.policies.clear();
            }
            if !flag.files.is_empty() {
                wanted.policies.push(flag.files.into_iter().map(Place::Named).collect());
            }
            wanted.heard = match flag.level {
                Some(level) => matches!(level, "info" | "debug" | "trace"),
                None => wanted.heard,
            };
        }
        Ok(wanted)
    }

    /// Takes out those that need no context.
    pub fn without_context(&mut self) -> Self {
        let here = |place: &Place| match place {
            Place::Beside => false,
            Place::Named(name) => name.starts_with(HERE) || Path::new(name).is_absolute(),
        };
        let (early, late) = std::mem::take(&mut self.policies).into_iter().partition(|files| files.iter().all(here));
        self.policies = late;
        Self { policies: early, heard: self.heard }
    }

    /// Reads the policies, and adds them.
    pub fn add_to(&self, session: &Session, policies: &mut Policies, around: &Around<'_>) -> Result<(), Failure> {
        for places in &self.policies {
            let texts = places.iter().map(|place| around.read(place)).collect::<Result<Vec<_>, _>>()?;
            let texts: Vec<PolicyText> = texts.into_iter().flatten().collect();
            if texts.is_empty() {
                continue;
            }
            let names = texts.iter().map(|text| text.name.as_str()).collect::<Vec<_>>().join(", ");
            let program = BuildPolicy::read(texts, &around.files, &around.circumstances);
            policies.add_program(program.map_err(|error| unusable(&names, error))?);
        }
        if self.heard {
            let voice = session.voice();
            policies.listen(Arc::new(move |line: &str| voice.say(line)));
        }
        Ok(())
    }
}

/// What policies are read from, and may know.
pub struct Around<'a> {
    /// Where their files are.
    pub files: PolicyFiles,
    /// The Dockerfile, if it is a file.
    pub dockerfile: Option<&'a Path>,
    /// What they may know of the build.
    pub circumstances: Circumstances,
}

impl Around<'_> {
    fn read(&self, place: &Place) -> Result<Option<PolicyText>, Failure> {
        match place {
            Place::Beside => self.dockerfile.map_or(Ok(None), beside),
            // Whoever runs this says so: it need not be in the context.
            Place::Named(name) if Path::new(name).is_absolute() => {
                Ok(Some(PolicyText { name: name.clone(), text: read_text(Path::new(name), "the policy")? }))
            }
            Place::Named(name) => {
                let text = self.files.read(name).map_err(|error| {
                    Failure::usage(format!("the policy {name} cannot be read"))
                        .because(error)
                        .hint("names are those of files in the context; cwd://FILE is one where you are")
                })?;
                Ok(Some(PolicyText { name: name.strip_prefix(HERE).unwrap_or(name).to_owned(), text }))
            }
        }
    }
}

/// The policy beside a Dockerfile, if there is one.
pub fn beside(dockerfile: &Path) -> Result<Option<PolicyText>, Failure> {
    let mut path = dockerfile.as_os_str().to_owned();
    path.push(EXTENSION);
    let path = PathBuf::from(path);
    // Anything of that name is meant to be one: a link that leads nowhere is no reason to build without it.
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    Ok(Some(PolicyText { name: path.display().to_string(), text: read_text(&path, "the policy")? }))
}

/// A policy that is none.
pub fn unusable(name: &str, error: impl std::error::Error + 'static) -> Failure {
    Failure::usage(format!("the policy {name} cannot be used")).because(error)
}

/// A failure of a policy, with what can be done.
pub fn refused(what: String, error: PolicyError) -> Failure {
    let hint = error.hint();
    let failure = Failure::new(what).because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(texts: &[&str]) -> Result<String, String> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let wanted = Wanted::of(&texts).map_err(|failure| failure.render(false))?;
        let name = |place: &Place| match place {
            Place::Beside => "*".to_owned(),
            Place::Named(name) => name.clone(),
        };
        let shown = wanted.policies.iter().map(|files| files.iter().map(name).collect::<Vec<_>>().join("+"));
        Ok(format!("{}{}", shown.collect::<Vec<_>>().join(" "), if wanted.heard { " heard" } else { "" }))
    }

    #[test]
    fn flags_say_which_policies_count() {
        for (texts, expected) in [
            (&[][..], "*"),
            (&["filename=a"], "* a"),
            (&["filename=a,FileName=b", "filename=c"], "* a+b c"),
            (&["reset=true,filename=a"], "a"),
            (&["filename=a", "reset=1"], ""),
            (&["disabled=true"], ""),
            (&["disabled=false,strict=true"], "*"),
            (&["log-level=DEBUG"], "* heard"),
            (&["log-level=debug", "log-level=warn"], "*"),
        ] {
            assert_eq!(wanted(texts).as_deref(), Ok(expected), "{texts:?}");
        }
        for (texts, words) in [
            (&["disabled=true", "filename=a"][..], "stands alone"),
            (&["disabled=true,strict=true"], "stands alone"),
            (&["a.rego"], "write filename=a.rego"),
            (&["filenam=a"], "`filename`"),
            (&["filename="], "filename is empty"),
            (&["reset=perhaps"], "true or false"),
            (&["log-level=loud"], "no log-level `loud`"),
        ] {
            let error = wanted(texts).unwrap_err();
            assert!(error.contains(words), "{texts:?}: {error}");
        }
    }

    #[test]
    fn a_flag_is_read_again_from_its_text() {
        for text in
            ["filename=a,filename=b,reset=true,strict=false,log-level=warning", "disabled=true", "\"filename=a,b\""]
        {
            let flag = PolicyFlag::parse(text).unwrap();
            assert_eq!(flag.text(), text);
        }
    }

    #[test]
    fn policies_that_need_no_context_are_told_apart() {
        let texts = ["filename=cwd://a".to_owned(), "filename=b,filename=cwd://c".to_owned(), "filename=/d".to_owned()];
        let mut late = Wanted::of(&texts).unwrap();
        let early = late.without_context();
        assert_eq!((early.policies.len(), late.policies.len()), (2, 2));
    }
}
