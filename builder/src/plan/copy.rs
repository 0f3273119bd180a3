//! `COPY` and `ADD`: what is copied, from where, to where.

use wharf_spec::Digest;

use super::chmod::Symbolic;
use super::graph::{
    Archives, Chmod, Copy, Destination, DestinationForm, FileSource, Item, Link, Parents, PastStep, Work,
};
use super::interpret::{Interpreter, clean_join};
use crate::dockerfile::suggest::did_you_mean;
use crate::dockerfile::{AddInstruction, CopyInstruction, CopySource, Diagnostic, Word};
use crate::git::{GitSource, GitUrlError};

/// What both instructions have in common.
struct Transfer<'a> {
    keyword: &'static str,
    from: Option<&'a Word>,
    chown: Option<&'a Word>,
    chmod: Option<&'a Word>,
    exclude: &'a [Word],
    sources: &'a [CopySource],
    destination: &'a Word,
    archives: Archives,
    parents: Parents,
    link: Link,
    remote: Option<Remote<'a>>,
}

/// A repository to add, and where it is named.
struct Repository {
    source: GitSource,
    keep_git_dir: bool,
    item: Item,
    said: String,
}

/// What only `ADD` can do.
struct Remote<'a> {
    checksum: Option<&'a Word>,
    archives: Archives,
    keep_git_dir: Option<bool>,
}

impl Interpreter<'_> {
    pub(super) fn copy(&mut self, copy: &CopyInstruction) -> Result<(), Diagnostic> {
        self.transfer(&Transfer {
            keyword: "COPY",
            from: copy.from.as_ref(),
            chown: copy.chown.as_ref(),
            chmod: copy.chmod.as_ref(),
            exclude: &copy.exclude,
            sources: &copy.sources,
            destination: &copy.destination,
            archives: Archives::Kept,
            parents: if copy.parents { Parents::Kept } else { Parents::Dropped },
            link: if copy.link { Link::Independent } else { Link::Merged },
            remote: None,
        })
    }

    pub(super) fn add(&mut self, add: &AddInstruction) -> Result<(), Diagnostic> {
        let archives = |extract: bool| if extract { Archives::Extracted } else { Archives::Kept };
        self.transfer(&Transfer {
            keyword: "ADD",
            from: None,
            chown: add.chown.as_ref(),
            chmod: add.chmod.as_ref(),
            exclude: &add.exclude,
            sources: &add.sources,
            destination: &add.destination,
            archives: archives(add.unpack.unwrap_or(true)),
            parents: Parents::Dropped,
            link: if add.link { Link::Independent } else { Link::Merged },
            remote: Some(Remote {
                checksum: add.checksum.as_ref(),
                archives: archives(add.unpack.unwrap_or(false)),
                keep_git_dir: add.keep_git_dir,
            }),
        })
    }

    fn transfer(&mut self, transfer: &Transfer<'_>) -> Result<(), Diagnostic> {
        let mut said = String::from(transfer.keyword);
        if transfer.parents == Parents::Kept {
            said.push_str(" --parents");
        }
        let owner = self.flag(transfer.chown, "chown", &mut said)?;
        let chmod = self.flag(transfer.chmod, "chmod", &mut said)?;
        let mode = match (&chmod, transfer.chmod) {
            (Some(text), Some(word)) => Some(parse_chmod(text, word)?),
            _ => None,
        };
        let repository = self.repository(transfer)?;
        let (items, spoken, given) = match repository {
            Some(Repository { source, keep_git_dir, item, said }) => {
                (vec![item], said, Some(self.sources.repository(source, keep_git_dir)))
            }
            None => {
                let (items, spoken) = self.items(transfer)?;
                (items, spoken, None)
            }
        };
        said.push_str(&spoken);
        let exclude = transfer.exclude.iter().map(|word| self.expand(word)).collect::<Result<_, _>>()?;
        let written = self.expand(transfer.destination)?;
        said.push_str(&format!(" {written} # buildkit"));
        let destination = self.destination(&written);
        if items.len() > 1 && destination.form == DestinationForm::Open {
            return Err(Diagnostic::error("several sources need a directory to go to", transfer.destination.span)
                .expected("this is no directory's name")
                .help(format!("end it with a slash: {written}/")));
        }
        let wants_source = items.iter().any(|item| matches!(item, Item::Path { .. }));
        let source: Option<FileSource> = match given {
            Some(given) => Some(given),
            None if wants_source => Some(self.source(transfer.from)?),
            None => None,
        };
        // Symbolic modes need to know what is there; a merged layer has to be made then (as the frontend does).
        let link = if mode.is_some() { Link::Merged } else { transfer.link };
        // Archives in a repository are files like any other.
        let archives = if given.is_some() { Archives::Kept } else { transfer.archives };
        let parents = transfer.parents;
        let copy = Copy { source, items, destination, owner, mode, exclude, archives, parents, link };
        self.push(Work::Copy(Box::new(copy)), said);
        debug_assert!(matches!(self.history.last(), Some(PastStep::Layer(_))));
        Ok(())
    }

    /// The value of a flag; spoken in the history when it is not empty.
    fn flag(&self, word: Option<&Word>, name: &str, said: &mut String) -> Result<Option<String>, Diagnostic> {
        let Some(word) = word else { return Ok(None) };
        let value = self.expand(word)?;
        if value.is_empty() {
            return Ok(None);
        }
        said.push_str(&format!(" --{name}={value}"));
        Ok(Some(value))
    }

    fn items(&self, transfer: &Transfer<'_>) -> Result<(Vec<Item>, String), Diagnostic> {
        let (mut items, mut said, mut inline_said) = (Vec::new(), String::new(), String::new());
        for source in transfer.sources {
            match source {
                CopySource::Path(word) => {
                    let text = self.expand(word)?;
                    said.push_str(&format!(" {text}"));
                    items.push(path_or_url(text, word, transfer, self)?);
                }
                CopySource::Inline(file) => {
                    let name = file.name.text.clone();
                    inline_said.push_str(&format!(" <<{name}"));
                    items.push(Item::Inline { name, content: self.inline(file)? });
                }
            }
        }
        check_checksum(transfer, &items)?;
        said.push_str(&inline_said);
        Ok((items, said))
    }

    /// The repository that is the only source, if the first is one.
    fn repository(&self, transfer: &Transfer<'_>) -> Result<Option<Repository>, Diagnostic> {
        for (position, source) in transfer.sources.iter().enumerate() {
            let CopySource::Path(word) = source else { continue };
            let text = self.expand(word)?;
            let Some(parsed) = GitSource::parse(&text) else { continue };
            let Some(remote) = &transfer.remote else {
                return Err(Diagnostic::error("COPY takes no repositories", word.span).help("use ADD"));
            };
            if position > 0 || transfer.sources.len() > 1 {
                return Err(Diagnostic::error("a repository is not added together with other sources", word.span)
                    .help("give it an ADD of its own"));
            }
            let mut source = parsed.map_err(|error| bad_repository(&error, word))?;
            if let Some(checksum) = remote.checksum {
                let commit = self.expand(checksum)?;
                source.expect(&commit).map_err(|error| bad_repository(&error, checksum))?;
            }
            let allowed = self.setting.request.policies.repository(source);
            let source =
                allowed.map_err(|error| Diagnostic::error(error.to_string(), word.span).maybe_help(error.hint()))?;
            let keep_git_dir = remote.keep_git_dir.or(source.keep_git_dir).unwrap_or(false);
            let item = Item::Path { pattern: "/".to_owned(), span: word.span };
            return Ok(Some(Repository { source, keep_git_dir, item, said: format!(" {text}") }));
        }
        Ok(None)
    }

    fn destination(&self, written: &str) -> Destination {
        let path = clean_join(self.directory(), written);
        let last = written.rsplit('/').next().unwrap_or_default();
        let directory = matches!(last, "" | "." | "..") || path == "/";
        Destination { path, form: if directory { DestinationForm::Directory } else { DestinationForm::Open } }
    }
}

fn path_or_url(
    text: String,
    word: &Word,
    transfer: &Transfer<'_>,
    stage: &Interpreter<'_>,
) -> Result<Item, Diagnostic> {
    let span = word.span;
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    match &transfer.remote {
        Some(remote) if is_url => {
            let checksum = match remote.checksum {
                Some(checksum) => {
                    let digest = stage.expand(checksum)?;
                    Some(digest.parse::<Digest>().map_err(|error| {
                        Diagnostic::error(format!("`{digest}` is no checksum"), checksum.span)
                            .expected(error.to_string())
                    })?)
                }
                None => None,
            };
            let allowed = stage.setting.request.policies.url(&text, checksum);
            let (url, checksum) =
                allowed.map_err(|error| Diagnostic::error(error.to_string(), span).maybe_help(error.hint()))?;
            Ok(Item::Url { url, checksum, archives: remote.archives, span })
        }
        None if is_url => Err(Diagnostic::error("COPY takes no URLs", span).help("use ADD")),
        Some(_) | None => Ok(Item::Path { pattern: text, span }),
    }
}

fn check_checksum(transfer: &Transfer<'_>, items: &[Item]) -> Result<(), Diagnostic> {
    let Some(checksum) = transfer.remote.as_ref().and_then(|remote| remote.checksum) else { return Ok(()) };
    match items {
        [Item::Url { .. }] => Ok(()),
        [_] => Err(Diagnostic::error("--checksum is for what comes from a URL", checksum.span)),
        _ => Err(Diagnostic::error("--checksum needs exactly one source", checksum.span)),
    }
}

fn bad_repository(error: &GitUrlError, word: &Word) -> Diagnostic {
    let diagnostic = Diagnostic::error(error.to_string(), word.span);
    match error {
        GitUrlError::UnknownOption(option) => {
            let key = option.split('=').next().unwrap_or_default();
            diagnostic.maybe_help(did_you_mean(key, crate::git::OPTIONS))
        }
        GitUrlError::NoTruth(_)
        | GitUrlError::Twice(_)
        | GitUrlError::Directory(_)
        | GitUrlError::Reference(_)
        | GitUrlError::Commit(_) => diagnostic,
    }
}

fn parse_chmod(text: &str, word: &Word) -> Result<Chmod, Diagnostic> {
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit());
    if numeric {
        return match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(Chmod::Octal(mode)),
            _ => Err(Diagnostic::error(format!("`{text}` is no mode"), word.span)
                .expected("octal digits between 0 and 7777")),
        };
    }
    Symbolic::parse(text).map(Chmod::Symbolic).ok_or_else(|| {
        Diagnostic::error(format!("`{text}` is no mode"), word.span)
            .expected("octal digits such as 755, or the symbolic form such as u=rwX,go=rX")
    })
}
