//! `--attest`, `--provenance` and `--sbom`.

use std::collections::BTreeMap;

use wharf_builder::ImageName;
use wharf_builder::attest::{Generator, Provenance, ProvenanceMode, ProvenanceVersion};
use wharf_builder::dockerfile::suggest::did_you_mean;
use wharf_builder::settings::is_true;

use crate::args::Build;
use crate::failure::Failure;

/// Who writes bills of materials when nobody is named, as Docker has it.
const GENERATOR: &str = "docker/buildkit-syft-scanner:stable-1";

/// What `type=provenance` takes.
const FIELDS: [&str; 8] =
    ["type", "disabled", "mode", "version", "builder-id", "reproducible", "inline-only", "filename"];

/// What is to be told of the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// How it was made.
    pub provenance: Option<Provenance>,
    /// What is in it, and who finds out.
    pub generator: Option<Generator>,
}

/// What the flags say; of several about the same the last counts.
pub fn wanted(command: &Build) -> Result<Wanted, Failure> {
    let attest = command.attest.iter().map(|text| ("--attest", text.clone()));
    let provenance = command.provenance.iter().map(|text| ("--provenance", short("provenance", text)));
    let sbom = command.sbom.iter().map(|text| ("--sbom", short("sbom", text)));
    let mut wanted = Wanted::default();
    for (flag, text) in attest.chain(provenance).chain(sbom) {
        let wrong = |what: String| Failure::usage(format!("{flag} {text}: {what}"));
        let fields: Vec<_> = text.split(',').map(|field| field.split_once('=').unwrap_or((field, "true"))).collect();
        let field = |name: &str| fields.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let on = !field("disabled").is_some_and(is_true);
        match field("type") {
            Some("provenance") if on => wanted.provenance = Some(provenance_of(&fields).map_err(wrong)?),
            Some("provenance") => wanted.provenance = None,
            Some("sbom") if on => wanted.generator = Some(generator_of(&fields).map_err(wrong)?),
            Some("sbom") => wanted.generator = None,
            Some(other) => return Err(wrong(format!("there is no type {other}; there are provenance and sbom"))),
            None => return Err(wrong("the type is missing: type=provenance or type=sbom".to_owned())),
        }
    }
    Ok(wanted)
}

/// `true`, `false` or fields, as the flag for one type has them.
fn short(kind: &str, text: &str) -> String {
    match text {
        "" | "1" | "true" => format!("type={kind}"),
        "0" | "false" => format!("type={kind},disabled=true"),
        fields => format!("type={kind},{fields}"),
    }
}

fn provenance_of(fields: &[(&str, &str)]) -> Result<Provenance, String> {
    let mut provenance = Provenance::default();
    for (name, value) in fields {
        match (*name, *value) {
            ("type" | "disabled", _) | ("mode", "min") => {}
            ("mode", "max") => provenance.mode = ProvenanceMode::Max,
            ("mode", other) => return Err(format!("mode is min or max, not {other}")),
            ("builder-id", id) => provenance.builder_id = Some(id.to_owned()),
            ("version", "v1") => provenance.version = ProvenanceVersion::V1,
            ("version", "v0.2") => provenance.version = ProvenanceVersion::V02,
            ("version", other) => return Err(format!("version is v1 or v0.2, not {other}")),
            ("reproducible", value) => provenance.reproducible = is_true(value),
            ("inline-only", value) => provenance.inline_only = is_true(value),
            ("filename", name) if !name.is_empty() && !name.contains('/') => {
                provenance.file_name = Some(name.to_owned());
            }
            ("filename", name) => return Err(format!("filename is the name of one file, not `{name}`")),
            (other, _) => {
                let failure = format!("`{other}` is not known");
                return Err(match did_you_mean(other, FIELDS) {
                    Some(hint) => format!("{failure}; {hint}"),
                    None => failure,
                });
            }
        }
    }
    Ok(provenance)
}

/// Every other field is the generator's.
fn generator_of(fields: &[(&str, &str)]) -> Result<Generator, String> {
    let (mut image, mut parameters) = (GENERATOR, BTreeMap::new());
    for (name, value) in fields {
        match *name {
            "type" | "disabled" => {}
            "generator" if !value.is_empty() => image = value,
            "generator" => return Err("generator=IMAGE needs the name of an image".to_owned()),
            name => {
                parameters.insert(name.to_owned(), (*value).to_owned());
            }
        }
    }
    let image = image.parse().map_err(|error| format!("`{image}` is no image: {error}"))?;
    Ok(Generator { image: ImageName::Reference(image), parameters })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn read(arguments: &[&str]) -> Result<Wanted, Failure> {
        let cli = Cli::try_parse_from([&["wharf", "build"], arguments, &["."]].concat()).unwrap();
        let Command::Build(command) = cli.command else { panic!("it is a build") };
        wanted(&command)
    }

    #[test]
    fn flags_read_as_docker_writes_them() {
        let min = Provenance::default();
        let max = Provenance { mode: ProvenanceMode::Max, ..Provenance::default() };
        for (arguments, expected) in [
            (vec![], None),
            (vec!["--provenance=false", "--sbom=false"], None),
            (vec!["--attest", "type=provenance,disabled=true"], None),
            (vec!["--provenance=true"], Some(min.clone())),
            (vec!["--provenance", "mode=min"], Some(min.clone())),
            (vec!["--provenance=mode=max"], Some(max.clone())),
            (vec!["--attest=type=provenance,mode=max"], Some(max.clone())),
            (vec!["--attest=type=provenance,mode=max", "--provenance=false"], None),
        ] {
            assert_eq!(read(&arguments).unwrap().provenance, expected, "{arguments:?}");
        }
        let named = read(&["--provenance=builder-id=https://ci.example/7"]).unwrap().provenance.unwrap();
        assert_eq!(named.builder_id.as_deref(), Some("https://ci.example/7"));
        let all = read(&["--provenance=version=v0.2,reproducible=true,inline-only=true,filename=p.json"]).unwrap();
        let expected = Provenance {
            version: ProvenanceVersion::V02,
            reproducible: true,
            inline_only: true,
            file_name: Some("p.json".to_owned()),
            ..Provenance::default()
        };
        assert_eq!(all.provenance, Some(expected));
        let generator = |argument: &str| read(&[argument]).unwrap().generator;
        assert_eq!(generator("--sbom=true").unwrap().image.to_string(), GENERATOR);
        let own = generator("--attest=type=sbom,generator=team/scan:1,SELECT=all").unwrap();
        assert_eq!((own.image.to_string().as_str(), own.parameters["SELECT"].as_str()), ("team/scan:1", "all"));
        assert_eq!(generator("--sbom=false"), None);
        for bad in [
            "--sbom=generator=",
            "--sbom=generator=A B",
            "--attest=type=what",
            "--attest=mode=max",
            "--provenance=mode=all",
            "--provenance=version=v2",
            "--provenance=filename=../x",
            "--provenance=what=1",
        ] {
            assert!(read(&[bad]).is_err(), "{bad}");
        }
    }
}
