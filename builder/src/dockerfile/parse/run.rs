//! `RUN`

use super::super::diagnostic::Diagnostic;
use super::super::flag::{Flags, Takes};
use super::super::heredoc::Opening;
use super::super::instruction::{CommandLine, Device, NetworkMode, RunCommand, RunInstruction, SecurityMode};
use super::super::mount::{MountSpec, split_fields};
use super::super::span::{Spanned, Word};
use super::super::suggest::did_you_mean;
use super::arguments::Arguments;
use super::copy::inline_file;
use super::statement::with_heredocs;
use crate::settings::truth;

pub(super) fn run(arguments: &Arguments<'_>) -> Result<RunInstruction, Diagnostic> {
    let flags = arguments.flags(&[
        ("mount", Takes::Values),
        ("network", Takes::Value),
        ("security", Takes::Value),
        ("device", Takes::Values),
    ])?;
    let mounts = flags.values("mount");
    let devices = flags.values("device");
    Ok(RunInstruction {
        mounts: mounts.iter().map(|value| MountSpec::parse(value, arguments.escape)).collect::<Result<_, _>>()?,
        network: network(&flags)?,
        security: security(&flags)?,
        devices: devices.iter().map(device).collect::<Result<_, _>>()?,
        command: command(arguments)?,
    })
}

fn command(arguments: &Arguments<'_>) -> Result<RunCommand, Diagnostic> {
    let line = match arguments.command_line()? {
        CommandLine::Exec(words) => return Ok(RunCommand::Exec(words)),
        CommandLine::Shell(line) => line,
    };
    let Some(first) = arguments.origin.heredocs.first() else {
        return Ok(RunCommand::Shell(line));
    };
    if Opening::parse(&line.text).is_none() {
        let script = with_heredocs(&line.text, arguments.origin);
        return Ok(RunCommand::ShellWithHeredocs { line, script });
    }
    let file = inline_file(first);
    Ok(if first.body.starts_with("#!") { RunCommand::Executable(file) } else { RunCommand::Script(file) })
}

fn network(flags: &Flags<'_>) -> Result<Option<Spanned<NetworkMode>>, Diagnostic> {
    let modes = [("default", NetworkMode::Default), ("none", NetworkMode::None), ("host", NetworkMode::Host)];
    choice(flags, "network", &modes)
}

fn security(flags: &Flags<'_>) -> Result<Option<Spanned<SecurityMode>>, Diagnostic> {
    choice(flags, "security", &[("sandbox", SecurityMode::Sandbox), ("insecure", SecurityMode::Insecure)])
}

fn choice<T: Copy>(flags: &Flags<'_>, flag: &str, choices: &[(&str, T)]) -> Result<Option<Spanned<T>>, Diagnostic> {
    let Some(value) = flags.value(flag) else { return Ok(None) };
    let names = || choices.iter().map(|(name, _)| *name);
    match choices.iter().find(|(name, _)| *name == value.text) {
        Some((_, choice)) => Ok(Some(Spanned::new(*choice, value.span))),
        None => Err(Diagnostic::error(format!("--{flag} cannot be `{}`", value.text), value.span)
            .expected(format!("expected {}", names().collect::<Vec<_>>().join(" or ")))
            .maybe_help(did_you_mean(&value.text, names()))),
    }
}

/// `name`, `name=…`, `required`, `required=…` between commas.
fn device(value: &Word) -> Result<Device, Diagnostic> {
    let mut device = Device { name: String::new(), required: false, span: value.span };
    for field in split_fields(value)? {
        match (field.text.split_once('='), device.name.is_empty()) {
            (Some((key, value)), _) if key.eq_ignore_ascii_case("required") => {
                device.required = truth(value).ok_or_else(|| {
                    Diagnostic::error(format!("`{value}` is neither true nor false"), field.span)
                        .expected("expected `required=true` or `required=false`")
                })?;
            }
            (None, _) if field.text.eq_ignore_ascii_case("required") => device.required = true,
            (Some((key, name)), true) if key.eq_ignore_ascii_case("name") => name.clone_into(&mut device.name),
            // A device's own name may hold `=`.
            (_, true) => device.name.clone_from(&field.text),
            (_, false) => {
                return Err(Diagnostic::error(format!("`{}` is not an option of a device", field.text), field.span)
                    .expected("expected `required`")
                    .note("one --device names one device; the flag can be repeated"));
            }
        }
    }
    if device.name.is_empty() {
        return Err(Diagnostic::error("this flag does not name a device", value.span).expected("expected a name"));
    }
    Ok(device)
}
