//! Source policies: rules about what a build may take files from, and what it takes instead.
//!
//! Every image, URL, repository and directory is looked at before anybody asks for it. A policy never widens anything: it
//! denies, or names another source of the same kind. Rules in JSON ([`rules`]) come first; programs in Rego ([`rego`]) are asked
//! about what these made of a source.

mod governed;
mod rego;
mod rules;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use wharf_spec::{Digest, Reference};

pub(crate) use governed::Governed;
pub use governed::{ask_about_image, described};
pub(crate) use rego::Answer;
pub use rego::{
    BuildPolicy, BuildPolicyError, Circumstances, PolicyFiles, PolicyReadError, PolicyText, Subject, SuiteError,
    Tested, run_suite,
};
pub use rules::{PolicyError, PolicyFileError};
use rules::{Rules, Source, evaluate};

use crate::git::GitSource;

const IMAGE: &str = "docker-image://";
const LAYOUT: &str = "oci-layout://";
const LOCAL: &str = "local://";
const GIT: &str = "git://";
const URL_CHECKSUM: &str = "http.checksum";
const GIT_CHECKSUM: &str = "git.checksum";
const GIT_URL: &str = "git.fullurl";

/// The policies of a build, in the order in which they are asked.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    rules: Vec<Rules>,
    programs: Vec<BuildPolicy>,
    listener: Listener,
}

/// Hears what policies print and decide.
pub type Hearing = dyn Fn(&str) + Send + Sync;

#[derive(Clone, Default)]
struct Listener(Option<Arc<Hearing>>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Listener(..)" } else { "Listener" })
    }
}

impl Policies {
    /// Adds a policy in its JSON form.
    pub fn add(&mut self, text: &str) -> Result<(), PolicyFileError> {
        self.rules.push(Rules::parse(text)?);
        Ok(())
    }

    /// Adds a program.
    pub fn add_program(&mut self, program: BuildPolicy) {
        self.programs.push(program);
    }

    /// Tells this one what policies print and decide.
    pub fn listen(&mut self, listener: Arc<Hearing>) {
        self.listener = Listener(Some(listener));
    }

    /// What the programs say of a source, all of which have to allow it.
    pub(crate) fn ask(&self, subject: &Subject) -> Result<Answer, PolicyError> {
        let say = |text: &str| {
            if let Listener(Some(listener)) = &self.listener {
                listener(text);
            }
        };
        for program in &self.programs {
            match program.ask(subject, &say)? {
                Answer::Allowed => {}
                // It is that one already: now the others are asked.
                Answer::Pinned(digest) if subject.is(&digest) => {}
                other @ (Answer::Describe | Answer::Pinned(_)) => return Ok(other),
            }
        }
        Ok(Answer::Allowed)
    }

    /// The same of a source about which everything is known at once.
    fn settled(&self, subject: &Subject) -> Result<(), PolicyError> {
        match self.ask(subject)? {
            Answer::Allowed => Ok(()),
            Answer::Describe | Answer::Pinned(_) => Err(PolicyError::Unusable {
                policy: self.programs.iter().map(BuildPolicy::name).collect::<Vec<_>>().join(", "),
                of: subject.identifier().to_owned(),
                reason: "only images can be pinned".to_owned(),
            }),
        }
    }

    /// What is taken for an image.
    pub fn image(&self, name: &Reference) -> Result<Reference, PolicyError> {
        if self.rules.is_empty() {
            return Ok(name.clone());
        }
        let whole = Reference { tag: name.tag_or_latest(), ..name.normalize_docker() };
        let from = format!("{IMAGE}{whole}");
        let (to, _) = self.changed(&from, BTreeMap::new(), &[])?;
        if to == from {
            return Ok(name.clone());
        }
        let text = to.strip_prefix(IMAGE).ok_or_else(|| unfit(&from, &to, "it is no image"))?;
        text.parse().map_err(|error: wharf_spec::ReferenceError| unfit(&from, &to, &error.to_string()))
    }

    /// Whether an OCI layout may be used.
    pub fn layout(&self, place: &str) -> Result<(), PolicyError> {
        let identifier = format!("{LAYOUT}{}", place.trim_start_matches(LAYOUT));
        self.unchanged(identifier.clone())?;
        match self.programs.first() {
            // Docker has no fields for one, either.
            Some(program) => Err(PolicyError::Unusable {
                policy: program.name().to_owned(),
                of: identifier,
                reason: "policies cannot be asked about OCI layouts".to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// Whether a directory of this machine may be used, by the name it has in the build.
    pub fn local(&self, name: &str) -> Result<(), PolicyError> {
        self.unchanged(format!("{LOCAL}{name}"))?;
        self.settled(&Subject::local(name))
    }

    /// Whether a Dockerfile of this machine may be used. Rules in JSON are about the context alone.
    pub fn dockerfile(&self) -> Result<(), PolicyError> {
        self.settled(&Subject::local("dockerfile"))
    }

    /// What is fetched for a URL, and what that must hash to.
    pub fn url(&self, url: &str, checksum: Option<Digest>) -> Result<(String, Option<Digest>), PolicyError> {
        let (url, checksum) = self.other_url(url, checksum)?;
        self.settled(&Subject::url(&url, checksum.as_ref()))?;
        Ok((url, checksum))
    }

    fn other_url(&self, url: &str, checksum: Option<Digest>) -> Result<(String, Option<Digest>), PolicyError> {
        if self.rules.is_empty() {
            return Ok((url.to_owned(), checksum));
        }
        let attributes = checksum.iter().map(|digest| (URL_CHECKSUM.to_owned(), digest.to_string())).collect();
        let (to, attributes) = self.changed(url, attributes, &[URL_CHECKSUM])?;
        if !to.starts_with("http://") && !to.starts_with("https://") {
            return Err(unfit(url, &to, "it is no URL"));
        }
        let checksum = match attributes.get(URL_CHECKSUM) {
            Some(text) => {
                Some(text.parse().map_err(|error: wharf_spec::DigestError| unfit(url, text, &error.to_string()))?)
            }
            None => None,
        };
        Ok((to, checksum))
    }

    /// What is checked out for a repository.
    pub fn repository(&self, source: GitSource) -> Result<GitSource, PolicyError> {
        let source = self.other_repository(source)?;
        let identifier = format!("{GIT}{}{}", git_place(&source.remote), git_fragment(&source));
        self.settled(&Subject::repository(&source, identifier))?;
        Ok(source)
    }

    fn other_repository(&self, source: GitSource) -> Result<GitSource, PolicyError> {
        if self.rules.is_empty() {
            return Ok(source);
        }
        let (place, fragment) = (git_place(&source.remote), git_fragment(&source));
        let from = format!("{GIT}{place}{fragment}");
        let mut attributes = BTreeMap::from([(GIT_URL.to_owned(), source.remote.clone())]);
        attributes.extend(source.commit.iter().map(|commit| (GIT_CHECKSUM.to_owned(), commit.clone())));
        let (to, attributes) = self.changed(&from, attributes, &[GIT_URL, GIT_CHECKSUM])?;
        let rest = to.strip_prefix(GIT).ok_or_else(|| unfit(&from, &to, "it is no repository"))?;
        let (there, fragment) = rest.split_once('#').map_or((rest, ""), |(there, fragment)| (there, fragment));
        // A rule may name another place, or set the whole URL.
        let remote = match attributes.get(GIT_URL) {
            Some(remote) if *remote != source.remote => remote.clone(),
            Some(_) | None if there != place => format!("https://{there}"),
            Some(_) | None => source.remote.clone(),
        };
        let wanted = GitSource::parse(&format!("{remote}#{fragment}"))
            .ok_or_else(|| unfit(&from, &remote, "it is no repository"))?;
        let mut changed = wanted.map_err(|error| unfit(&from, &to, &error.to_string()))?;
        if let Some(commit) = attributes.get(GIT_CHECKSUM) {
            changed.expect(commit).map_err(|error| unfit(&from, commit, &error.to_string()))?;
        }
        let GitSource { keep_git_dir, submodules, times, .. } = source;
        Ok(GitSource { keep_git_dir, submodules, times, ..changed })
    }

    fn unchanged(&self, from: String) -> Result<(), PolicyError> {
        let (to, _) = self.changed(&from, BTreeMap::new(), &[])?;
        if to == from { Ok(()) } else { Err(unfit(&from, &to, "only images, URLs and repositories can be replaced")) }
    }

    /// The source as rules leave it. An attribute that nobody would look at is refused.
    fn changed(
        &self,
        from: &str,
        attributes: BTreeMap<String, String>,
        known: &[&str],
    ) -> Result<(String, BTreeMap<String, String>), PolicyError> {
        let source = Source { identifier: from.to_owned(), attributes: attributes.clone() };
        let Source { identifier, attributes: changed } = evaluate(&self.rules, source)?;
        let unknown = changed.keys().find(|name| !known.contains(&name.as_str()) && !attributes.contains_key(*name));
        match unknown {
            Some(name) => {
                Err(unfit(from, &identifier, &format!("Wharf does not know the attribute `{name}` of such a source")))
            }
            None => Ok((identifier, changed)),
        }
    }
}

fn unfit(from: &str, to: &str, why: &str) -> PolicyError {
    PolicyError::Unfit { from: from.to_owned(), to: to.to_owned(), why: why.to_owned() }
}

/// Host and path of a remote, however it is spelt.
fn git_place(remote: &str) -> String {
    let rest = remote.split_once("://").map_or(remote, |(_, rest)| rest);
    let (authority, scp) = match (remote.contains("://"), rest.split_once(':')) {
        (false, Some((host, path))) => (host, Some(path)),
        _ => (rest, None),
    };
    let bare = |text: &str| match text.split_once('/') {
        Some((host, path)) => format!("{}/{path}", host.rsplit('@').next().unwrap_or(host)),
        None => text.rsplit('@').next().unwrap_or(text).to_owned(),
    };
    match scp {
        Some(path) => format!("{}/{}", bare(authority), path.trim_start_matches('/')),
        None => bare(authority),
    }
}

fn git_fragment(source: &GitSource) -> String {
    match (&source.reference, &source.directory) {
        (None, None) => String::new(),
        (reference, None) => format!("#{}", reference.as_deref().unwrap_or_default()),
        (reference, Some(directory)) => format!("#{}:{directory}", reference.as_deref().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policies(rules: &str) -> Policies {
        let mut policies = Policies::default();
        policies.add(&format!("{{\"rules\":[{rules}]}}")).unwrap();
        policies
    }

    fn convert(from: &str, to: &str) -> Policies {
        let (from, to) = (format!("\"identifier\":\"{from}\""), format!("\"identifier\":\"{to}\""));
        policies(&format!("{{\"action\":\"CONVERT\",\"selector\":{{{from}}},\"updates\":{{{to}}}}}"))
    }

    #[test]
    fn images_are_known_by_their_whole_name() {
        let pin = convert("docker-image://docker.io/library/alpine:latest", "docker-image://mirror.example/alpine:3");
        assert_eq!(pin.image(&"alpine".parse().unwrap()).unwrap().to_string(), "mirror.example/alpine:3");
        assert_eq!(pin.image(&"team/app".parse().unwrap()).unwrap().to_string(), "team/app");
        let odd = convert("docker-image://docker.io/library/alpine:latest", "https://x.example/a");
        assert!(odd.image(&"alpine".parse().unwrap()).unwrap_err().to_string().contains("it is no image"));
    }

    #[test]
    fn repositories_keep_their_transport_unless_the_place_changes() {
        for (from, to, of, expected) in [
            ("git://h/o/r.git#main", "git://h/o/r.git#v1", "git@h:o/r.git#main", "git@h:o/r.git v1"),
            ("git://h/o/r.git", "git://m/o/r.git#v1", "https://h/o/r.git", "https://m/o/r.git v1"),
            ("git://h/*", "git://h/${1}", "ssh://git@h/o/r#v2:d", "ssh://git@h/o/r v2 d"),
        ] {
            let source = GitSource::parse(of).unwrap().unwrap();
            let made = convert(from, to).repository(source).unwrap();
            let parts = [Some(made.remote), made.reference, made.directory];
            assert_eq!(parts.into_iter().flatten().collect::<Vec<_>>().join(" "), expected, "{of}");
        }
    }

    #[test]
    fn directories_can_only_be_denied() {
        let deny = policies(r#"{"action":"DENY","selector":{"identifier":"local://*"}}"#);
        assert!(deny.local("context").is_err() && deny.layout("oci-layout://d").is_ok());
        assert!(convert("local://context", "local://other").local("context").is_err());
    }

    #[test]
    fn an_attribute_nobody_knows_is_refused() {
        let rule = |attribute: &str| {
            policies(&format!(
                r#"{{"action":"CONVERT","selector":{{"identifier":"https://h/a"}},"updates":{{"attrs":{{"{attribute}":"x"}}}}}}"#
            ))
        };
        let error = rule("http.header").url("https://h/a", None).unwrap_err().to_string();
        assert!(error.contains("does not know the attribute `http.header`"), "{error}");
        assert!(rule("http.checksum").url("https://h/a", None).is_err(), "x is no digest");
    }
}
