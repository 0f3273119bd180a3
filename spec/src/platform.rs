//! Platforms: `os[/architecture[/variant]]` (OCI image-spec, "Image Index").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// CPU architecture in Go's words: `amd64`, `arm64`, …
    pub architecture: String,
    /// Operating system in Go's words.
    pub os: String,
    /// Version of the operating system (Windows).
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features of the operating system (Windows).
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Variant of the CPU: `v7`, `v8`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Why a text is no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid platform `{0}`: write os/architecture[/variant], for example linux/amd64 or linux/arm/v7")]
pub struct PlatformError(String);

impl Platform {
    /// A Linux platform with no variant.
    pub fn linux(architecture: &str) -> Self {
        Self {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            os_version: None,
            os_features: Vec::new(),
            variant: None,
        }
    }

    /// The platform this binary was compiled for.
    pub fn host() -> Self {
        let (architecture, variant) = normalize(std::env::consts::ARCH, None);
        Self { variant, ..Self::linux(&architecture) }
    }

    /// Whether an image for `self` serves a request for `wanted`: the same system and architecture, and the same
    /// variant once the default variants (`arm64/v8`, `arm/v7`) are understood.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        let mine = normalize(&self.architecture, self.variant.as_deref());
        let theirs = normalize(&wanted.architecture, wanted.variant.as_deref());
        self.os == wanted.os && mine == theirs
    }
}

/// Go's names and default variants, as containerd normalises them.
fn normalize(architecture: &str, variant: Option<&str>) -> (String, Option<String>) {
    let (architecture, variant) = match (architecture, variant.unwrap_or_default()) {
        ("x86_64" | "x86-64" | "amd64", "v1" | "") => ("amd64", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("i386" | "i686" | "x86", _) => ("386", ""),
        ("aarch64" | "arm64", "8" | "v8" | "") => ("arm64", ""),
        ("aarch64", variant) => ("arm64", variant),
        ("armel", _) => ("arm", "v6"),
        ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
        ("powerpc64le", variant) => ("ppc64le", variant),
        (other, variant) => (other, variant),
    };
    (architecture.to_owned(), (!variant.is_empty()).then(|| variant.to_owned()))
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let word = |part: &&str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(word) {
            return Err(PlatformError(crate::name::excerpt(text)));
        }
        let make = |os: &str, architecture: &str, variant: Option<&str>| {
            let (architecture, variant) = normalize(&architecture.to_ascii_lowercase(), variant);
            Self { os: os.to_ascii_lowercase(), variant, ..Self::linux(&architecture) }
        };
        match parts.as_slice() {
            // One word is a system or an architecture, as Docker reads it.
            ["linux" | "windows" | "darwin" | "freebsd"] => Ok(make(text, &Self::host().architecture, None)),
            [architecture] => Ok(make("linux", architecture, None)),
            [os, architecture] => Ok(make(os, architecture, None)),
            [os, architecture, variant] => Ok(make(os, architecture, Some(variant))),
            _ => Err(PlatformError(crate::name::excerpt(text))),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn platforms_read_as_docker_reads_them() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("arm64", "linux/arm64"),
            ("LINUX/ARM/v6", "linux/arm/v6"),
        ] {
            assert_eq!(parse(text).to_string(), shown, "{text}");
        }
        for bad in ["", "/", "linux/", "a/b/c/d", "linux/am d64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn default_variants_are_understood() {
        let stored = Platform { variant: Some("v8".into()), ..Platform::linux("arm64") };
        assert!(stored.satisfies(&parse("linux/arm64")));
        assert!(!parse("linux/arm/v6").satisfies(&parse("linux/arm/v7")));
    }
}
