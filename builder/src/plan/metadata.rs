//! Instructions that change nothing but the configuration.

use std::collections::BTreeMap;

use wharf_spec::{Empty, Healthcheck};

use super::expose::parse_port;
use super::graph::go_duration;
use super::interpret::Interpreter;
use super::signal::is_signal;
use crate::dockerfile::{
    CmdInstruction, CommandLine, Diagnostic, EntrypointInstruction, ExposeInstruction, HealthcheckInstruction,
    LabelInstruction, MaintainerInstruction, ShellInstruction, StopsignalInstruction, VolumeInstruction, Word,
};

/// The shell of stages that set none.
const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

impl Interpreter<'_> {
    pub(super) fn cmd(&mut self, cmd: &CmdInstruction) -> Result<(), Diagnostic> {
        let args = self.command(&cmd.command);
        self.remember(format!("CMD {}", quoted(&args)));
        // An empty one is none at all.
        self.config.config.cmd = Some(args).filter(|args| !args.is_empty());
        self.config.config.args_escaped = Some(true);
        self.has_cmd = true;
        Ok(())
    }

    pub(super) fn entrypoint(&mut self, entrypoint: &EntrypointInstruction) -> Result<(), Diagnostic> {
        let args = self.command(&entrypoint.command);
        self.remember(format!("ENTRYPOINT {}", quoted(&args)));
        self.config.config.entrypoint = Some(args).filter(|args| !args.is_empty());
        if !self.has_cmd {
            // The base's arguments were meant for the base's program.
            self.config.config.cmd = None;
        }
        Ok(())
    }

    fn command(&self, command: &CommandLine) -> Vec<String> {
        match command {
            CommandLine::Shell(text) => self.in_shell(text.as_str()),
            CommandLine::Exec(words) => words.iter().map(|word| word.text.clone()).collect(),
        }
    }

    /// The argument vector that gives `text` to the stage's shell.
    pub(super) fn in_shell(&self, text: &str) -> Vec<String> {
        let own = self.config.config.shell.as_ref().filter(|shell| !shell.is_empty());
        let mut args = own.cloned().unwrap_or_else(|| DEFAULT_SHELL.map(str::to_owned).to_vec());
        args.push(text.to_owned());
        args
    }

    pub(super) fn expose(&mut self, expose: &ExposeInstruction) -> Result<(), Diagnostic> {
        // The history lists them in the order of the words as written.
        let mut words: Vec<&Word> = expose.ports.iter().collect();
        words.sort_by(|one, other| one.text.cmp(&other.text));
        let mut ports = Vec::new();
        for word in words {
            for text in self.expand_words(word)? {
                let parsed = parse_port(&text).map_err(|problem| {
                    Diagnostic::error(format!("`{text}` is no port: {problem}"), word.span)
                        .help("write a port or a range and perhaps a protocol: 80, 53/udp, 8000-8010/tcp")
                })?;
                ports.extend(parsed);
            }
        }
        self.remember(format!("EXPOSE [{}]", ports.join(" ")));
        self.config.config.exposed_ports.extend(ports.into_iter().map(|port| (port, Empty {})));
        Ok(())
    }

    pub(super) fn label(&mut self, label: &LabelInstruction) -> Result<(), Diagnostic> {
        let mut labels = BTreeMap::new();
        let mut said = String::from("LABEL");
        for pair in &label.pairs {
            let (key, value) = (self.expand(&pair.key)?, self.expand(&pair.value)?);
            said.push_str(&format!(" {key}={value}"));
            labels.insert(key, value);
        }
        self.config.config.labels.extend(labels);
        self.remember(said);
        Ok(())
    }

    pub(super) fn maintainer(&mut self, maintainer: &MaintainerInstruction) -> Result<(), Diagnostic> {
        self.config.author = Some(maintainer.name.text.clone());
        self.remember(format!("MAINTAINER {}", maintainer.name.text));
        Ok(())
    }

    pub(super) fn shell(&mut self, shell: &ShellInstruction) -> Result<(), Diagnostic> {
        let words: Vec<String> = shell.shell.iter().map(|word| word.text.clone()).collect();
        self.remember(format!("SHELL [{}]", words.join(" ")));
        self.config.config.shell = Some(words);
        Ok(())
    }

    pub(super) fn stopsignal(&mut self, stopsignal: &StopsignalInstruction) -> Result<(), Diagnostic> {
        let signal = self.expand(&stopsignal.signal)?;
        if !is_signal(&signal) {
            return Err(Diagnostic::error(format!("`{signal}` is no signal"), stopsignal.signal.span)
                .help("write a name such as SIGTERM or TERM, or a number from 1 to 64"));
        }
        self.remember(format!("STOPSIGNAL {signal}"));
        self.config.config.stop_signal = Some(signal);
        Ok(())
    }

    pub(super) fn volume(&mut self, volume: &VolumeInstruction) -> Result<(), Diagnostic> {
        let expand = |word: &Word| match self.expand(word) {
            Ok(path) if path.is_empty() => Err(Diagnostic::error("the path of a volume is empty", word.span)),
            other => other,
        };
        let paths: Vec<String> = volume.paths.iter().map(expand).collect::<Result<_, _>>()?;
        self.remember(format!("VOLUME [{}]", paths.join(" ")));
        self.config.config.volumes.extend(paths.into_iter().map(|path| (path, Empty {})));
        Ok(())
    }

    pub(super) fn healthcheck(&mut self, instruction: &HealthcheckInstruction) -> Result<(), Diagnostic> {
        let none = || Healthcheck { test: Some(vec!["NONE".to_owned()]), ..Healthcheck::default() };
        let (check, times) = match instruction {
            HealthcheckInstruction::None => (none(), [None; 4]),
            HealthcheckInstruction::Cmd(check) => {
                let (kind, args) = match &check.command {
                    // The shell is the one of the container's day, not of this build.
                    CommandLine::Shell(text) => ("CMD-SHELL", vec![text.text.clone()]),
                    CommandLine::Exec(words) => ("CMD", words.iter().map(|word| word.text.clone()).collect()),
                };
                let times = [check.interval, check.timeout, check.start_period, check.start_interval];
                let nanos = times.map(|time| time.map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)));
                let [interval, timeout, start_period, start_interval] = nanos;
                let test = Some(std::iter::once(kind.to_owned()).chain(args).collect());
                let retries = i64::from(check.retries.unwrap_or(0));
                (Healthcheck { test, interval, timeout, start_period, start_interval, retries }, times)
            }
        };
        let [interval, timeout, start_period, start_interval] = times.map(|time| go_duration(time.unwrap_or_default()));
        self.remember(format!(
            "HEALTHCHECK {{Test:[{}] Interval:{interval} Timeout:{timeout} StartPeriod:{start_period} \
             StartInterval:{start_interval} Retries:{}}}",
            check.test.as_deref().unwrap_or_default().join(" "),
            check.retries
        ));
        self.config.config.healthcheck = Some(check);
        Ok(())
    }
}

/// A list as Go's `%q` prints it: `["a" "b"]`.
fn quoted(args: &[String]) -> String {
    let quoted: Vec<String> = args.iter().map(|arg| go_quote(arg)).collect();
    format!("[{}]", quoted.join(" "))
}

fn go_quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{b}' => out.push_str("\\v"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_as_go_prints_them() {
        let args = ["/bin/sh", "-c", "echo \"hi\"\n\\x\u{1}ä"].map(str::to_owned);
        assert_eq!(quoted(&args), r#"["/bin/sh" "-c" "echo \"hi\"\n\\x\x01ä"]"#);
        assert_eq!(quoted(&[]), "[]");
    }
}
