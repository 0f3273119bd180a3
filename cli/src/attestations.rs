//! `--attest`, `--provenance` and `--sbom`.

use wharf_builder::attest::{Provenance, ProvenanceMode};
use wharf_builder::settings::is_true;

use crate::args::Build;
use crate::failure::Failure;

/// What is to be told of the image, or nothing.
pub fn wanted(command: &Build) -> Result<Option<Provenance>, Failure> {
    let attest = command.attest.iter().map(|text| ("--attest", text.clone()));
    let provenance = command.provenance.iter().map(|text| ("--provenance", short("provenance", text)));
    let sbom = command.sbom.iter().map(|text| ("--sbom", short("sbom", text)));
    let mut wanted = None;
    for (flag, text) in attest.chain(provenance).chain(sbom) {
        let wrong = |what: String| Failure::usage(format!("{flag} {text}: {what}"));
        let fields: Vec<_> = text.split(',').map(|field| field.split_once('=').unwrap_or((field, "true"))).collect();
        let field = |name: &str| fields.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let on = !field("disabled").is_some_and(is_true);
        match field("type") {
            Some("provenance") if on => wanted = Some(provenance_of(&fields).map_err(wrong)?),
            Some("provenance") => wanted = None,
            Some("sbom") if !on => {}
            Some("sbom") => {
                return Err(wrong("Wharf makes no bills of materials".to_owned()).hint(
                    "scan the image, for example with syft or trivy, and attach the result with oras attach or cosign",
                ));
            }
            Some(other) => return Err(wrong(format!("there is no type {other}; there is provenance"))),
            None => return Err(wrong("the type is missing: type=provenance".to_owned())),
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
            ("version", "v1") => {}
            ("version", other) => return Err(format!("statements are of version v1, not {other}")),
            // Whether everything that went in is named; what is named is the same.
            ("reproducible" | "inline-only", value) if !is_true(value) => {}
            (other, _) => return Err(format!("`{other}` is not known")),
        }
    }
    Ok(provenance)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn read(arguments: &[&str]) -> Result<Option<Provenance>, Failure> {
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
            assert_eq!(read(&arguments).unwrap(), expected, "{arguments:?}");
        }
        let named = read(&["--provenance=builder-id=https://ci.example/7"]).unwrap().unwrap();
        assert_eq!(named.builder_id.as_deref(), Some("https://ci.example/7"));
        for bad in
            ["--sbom=true", "--sbom=generator=x", "--attest=type=what", "--attest=mode=max", "--provenance=mode=all"]
        {
            assert!(read(&[bad]).is_err(), "{bad}");
        }
    }
}
