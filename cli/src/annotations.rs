//! `--annotation`: of manifests, of the index, or of how the index lists a manifest; for all platforms or for one.

use std::collections::BTreeMap;

use wharf_spec::Platform;

use crate::failure::Failure;

/// What an annotation is written on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The image's manifest.
    Manifest,
    /// The index.
    Index,
    /// The manifest's entry in the index.
    ManifestDescriptor,
}

/// All of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations(Vec<(Level, Option<Platform>, String, String)>);

impl Annotations {
    /// `[LEVEL[PLATFORM],…:]NAME=VALUE`, as Docker takes it.
    pub fn parse(texts: &[String]) -> Result<Self, Failure> {
        let mut all = Self::default();
        for text in texts {
            let wrong = |what: &str| {
                Failure::usage(format!("--annotation {text}: {what}")).hint("write NAME=VALUE or index:NAME=VALUE")
            };
            let (name, value) = text.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
            let (levels, name) = match name.split_once(':') {
                Some((levels, name)) if levels.split(',').all(|level| read(level).is_some()) => (levels, name),
                Some(_) | None => ("manifest", name),
            };
            if name.is_empty() {
                return Err(wrong("there is no name"));
            }
            for level in levels.split(',') {
                let (level, platform) = read(level).ok_or_else(|| wrong("there is no such level"))?;
                let platform = platform.map(str::parse).transpose();
                let platform =
                    platform.map_err(|error: wharf_spec::PlatformError| wrong("bad platform").because(error))?;
                all.0.push((level, platform, name.to_owned(), value.to_owned()));
            }
        }
        Ok(all)
    }

    /// Those on `level`, for what runs on `platform`.
    pub fn of(&self, level: Level, platform: Option<&Platform>) -> BTreeMap<String, String> {
        let meant = self.0.iter().filter(|(on, wanted, ..)| {
            *on == level && wanted.as_ref().is_none_or(|wanted| platform.is_none_or(|here| here == wanted))
        });
        meant.map(|(_, _, name, value)| (name.clone(), value.clone())).collect()
    }
}

/// `manifest`, `index[linux/amd64]`, …
fn read(text: &str) -> Option<(Level, Option<&str>)> {
    let (level, platform) = match text.split_once('[') {
        Some((level, rest)) => (level, Some(rest.strip_suffix(']')?)),
        None => (text, None),
    };
    let level = match level {
        "manifest" => Level::Manifest,
        "index" => Level::Index,
        "manifest-descriptor" => Level::ManifestDescriptor,
        _ => return None,
    };
    Some((level, platform))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_written_where_docker_writes_them() {
        let texts = ["a=1", "index:b=2", "manifest,index:c=x=y", "manifest[linux/arm64]:d=4", "org.example:e=5"];
        let all = Annotations::parse(&texts.map(str::to_owned)).unwrap();
        let of = |level, platform: &str| {
            let found = all.of(level, Some(&platform.parse().unwrap()));
            found.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of(Level::Manifest, "linux/amd64"), "a=1 c=x=y org.example:e=5");
        assert_eq!(of(Level::Manifest, "linux/arm64"), "a=1 c=x=y d=4 org.example:e=5");
        assert_eq!(of(Level::Index, "linux/amd64"), "b=2 c=x=y");
        assert_eq!(of(Level::ManifestDescriptor, "linux/amd64"), "");
        for bad in ["a", "index:=x", "manifest[]:a=b"] {
            assert!(Annotations::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
