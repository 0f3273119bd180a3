//! What outputs say about the image itself: compression, media types, annotations. A build makes one image, so what several
//! outputs say is put together.

use clap::ValueEnum as _;

use super::truth;
use crate::args::{BuildOptions, CompressionName};
use crate::failure::Failure;

/// What an image is to be like, as far as it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Of new layers.
    pub compression: Option<CompressionName>,
    /// Of new layers.
    pub level: Option<u32>,
    /// Whether the base's layers are compressed anew as well.
    pub force: bool,
    /// Whether media types are OCI's, and not Docker's.
    pub oci_types: Option<bool>,
    /// Whether attestations are artifacts that name their image.
    pub artifact: Option<bool>,
    /// Which version of `BuildKit` decides where nothing is said.
    pub compatibility: Option<Compatibility>,
    /// As `--annotation` takes them.
    pub annotations: Vec<String>,
}

/// `compatibility-version`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// 20: Docker's media types, unless something is attested.
    Docker,
    /// 30: OCI's media types, and attestations as artifacts.
    Oci,
}

impl Form {
    /// Takes a field in; says whether it is one of these.
    pub fn take(&mut self, text: &str, (name, value): (&str, &str)) -> Result<bool, Failure> {
        let wrong = |what: &str| Failure::usage(format!("--output {text}: {what}"));
        let flag = || truth(text, (name, value));
        match name {
            "compression" => {
                let format = CompressionName::from_str(value, false);
                self.compression = Some(
                    format.map_err(|_| wrong("compression is gzip, estargz, zstd, zstd:chunked or uncompressed"))?,
                );
            }
            "compression-level" => {
                self.level = Some(value.parse().map_err(|_| wrong("compression-level is a number"))?);
            }
            "force-compression" => self.force = flag()?,
            "oci-mediatypes" => self.oci_types = Some(flag()?),
            "oci-artifact" => self.artifact = Some(flag()?),
            "compatibility-version" => self.compatibility = Some(compatibility(value).map_err(|what| wrong(&what))?),
            // New layers never hold anything younger than the image, and the base's are left alone.
            "rewrite-timestamp" => {
                flag()?;
            }
            other => match other.strip_prefix("annotation") {
                Some(rest) if rest.starts_with(['.', '-', '[']) => self.annotations.push(annotation(rest, value)?),
                Some(_) | None => return Ok(false),
            },
        }
        Ok(true)
    }

    /// What all of them say. Two that say different things of the same are an error.
    pub fn of_all<'a>(forms: impl Iterator<Item = &'a Self>) -> Result<Self, Failure> {
        let mut all = Self::default();
        for form in forms {
            let differ = |name: &str| {
                Failure::usage(format!("two outputs want different {name} of the same image"))
                    .hint("say the same in both, or build twice: the second time, every step is known")
            };
            merge(&mut all.compression, form.compression).map_err(|()| differ("compression"))?;
            merge(&mut all.level, form.level).map_err(|()| differ("compression-level"))?;
            merge(&mut all.oci_types, form.oci_types).map_err(|()| differ("oci-mediatypes"))?;
            merge(&mut all.artifact, form.artifact).map_err(|()| differ("oci-artifact"))?;
            merge(&mut all.compatibility, form.compatibility).map_err(|()| differ("compatibility-version"))?;
            all.force |= form.force;
            all.annotations.extend(form.annotations.iter().cloned());
        }
        Ok(all)
    }

    /// Makes what is said part of the options.
    pub fn apply(&self, options: &mut BuildOptions) {
        options.annotations.extend(self.annotations.iter().cloned());
        options.compression = self.compression.unwrap_or(options.compression);
        options.compression_level = self.level.or(options.compression_level);
    }

    /// Whether media types are Docker's.
    pub fn docker_types(&self, attested: bool) -> bool {
        match (self.oci_types, self.compatibility) {
            (Some(oci), _) => !oci,
            (None, Some(Compatibility::Docker)) => !attested,
            (None, Some(Compatibility::Oci) | None) => false,
        }
    }

    /// Whether attestations are artifacts.
    pub fn artifact(&self) -> bool {
        self.artifact.unwrap_or(self.compatibility == Some(Compatibility::Oci))
    }
}

/// Takes in what another says; an error when both say something and not the same.
fn merge<T: PartialEq + Copy>(all: &mut Option<T>, said: Option<T>) -> Result<(), ()> {
    match (*all, said) {
        (Some(one), Some(other)) if one != other => Err(()),
        (one, other) => {
            *all = one.or(other);
            Ok(())
        }
    }
}

fn compatibility(value: &str) -> Result<Compatibility, String> {
    match value {
        "20" => Ok(Compatibility::Docker),
        "30" => Ok(Compatibility::Oci),
        "10" => {
            Err("compatibility-version 10 is of a BuildKit that gave files of repositories other modes; it is 20 or 30"
                .to_owned())
        }
        _ => Err("compatibility-version is 20 or 30".to_owned()),
    }
}

/// `annotation-index[linux/amd64].key` as `--annotation` writes it.
fn annotation(rest: &str, value: &str) -> Result<String, Failure> {
    let wrong =
        || Failure::usage(format!("annotation{rest}: write annotation.NAME=VALUE or annotation-index.NAME=VALUE"));
    let (level, name) = match rest.strip_prefix('[') {
        Some(platform) => {
            let (platform, name) = platform.split_once("].").ok_or_else(wrong)?;
            (format!("manifest[{platform}]"), name)
        }
        None => {
            let (level, name) = rest.split_once('.').ok_or_else(wrong)?;
            (if level.is_empty() { "manifest".to_owned() } else { level.trim_start_matches('-').to_owned() }, name)
        }
    };
    Ok(format!("{level}:{name}={value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&str, &str)]) -> Form {
        let mut form = Form::default();
        for field in fields {
            assert!(form.take("x", *field).unwrap(), "{field:?}");
        }
        form
    }

    #[test]
    fn what_is_not_said_is_what_a_version_of_buildkit_does() {
        assert!(!read(&[]).docker_types(false) && !read(&[]).artifact());
        assert!(read(&[("oci-mediatypes", "false")]).docker_types(true));
        let old = read(&[("compatibility-version", "20")]);
        assert!(old.docker_types(false) && !old.docker_types(true) && !old.artifact());
        let new = read(&[("compatibility-version", "30")]);
        assert!(!new.docker_types(false) && new.artifact());
        assert!(!read(&[("compatibility-version", "30"), ("oci-artifact", "0")]).artifact());
        assert!(Form::default().take("x", ("compatibility-version", "10")).is_err());
        assert!(!Form::default().take("x", ("shape", "round")).unwrap());
    }

    #[test]
    fn outputs_of_one_image_must_agree() {
        let (zstd, gzip) = (read(&[("compression", "zstd")]), read(&[("compression", "gzip")]));
        assert!(Form::of_all([&zstd, &gzip].into_iter()).is_err());
        let both = Form::of_all([&zstd, &read(&[("force-compression", "true")])].into_iter()).unwrap();
        assert!(both.force && both.compression == Some(CompressionName::Zstd));
    }
}
