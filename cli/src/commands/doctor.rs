//! `wharf doctor`: what this machine lets builds do, and what stands in the way of more.

use wharf_builder::sandbox::{Outcome, Report, Tier, probe};

use crate::failure::Failure;
use crate::output;

/// Prints it.
pub fn run() -> Result<(), Failure> {
    output::print(render(&probe()).as_bytes())
}

/// The report as text: the tier first, then every check, with what to do about each that does not hold.
fn render(report: &Report) -> String {
    let tier = match &report.tier {
        Tier::Root => "root: everything works".to_owned(),
        Tier::UserNamespaceSubuid => "user namespace with many ids: everything works but device nodes".to_owned(),
        Tier::UserNamespaceSingle => {
            "user namespace with one id: RUN works, but files cannot belong to others than root".to_owned()
        }
        Tier::None { reason } => format!("none: RUN is refused ({reason}); COPY and ADD work"),
    };
    let mut text = format!("sandbox: {tier}\n");
    for (head, checks) in
        [("root", &report.root), ("user namespace", &report.user_namespace), ("many ids in it", &report.subuid)]
    {
        text.push_str(&format!("\n{head}\n"));
        for check in checks {
            match &check.outcome {
                Outcome::Passed => text.push_str(&format!("  ok       {}\n", check.name)),
                Outcome::Blocked { reason, hint } => {
                    text.push_str(&format!("  blocked  {}: {reason}\n           hint: {hint}\n", check.name));
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use wharf_builder::sandbox::Check;

    use super::*;

    #[test]
    fn what_stands_in_the_way_is_said_with_what_to_do() {
        let blocked = Outcome::Blocked { reason: "it is 0".into(), hint: "set it to 1" };
        let report = Report {
            tier: Tier::None { reason: "no namespaces".into() },
            root: vec![Check { name: "being root", outcome: Outcome::Passed }],
            user_namespace: vec![Check { name: "a setting", outcome: blocked }],
            subuid: Vec::new(),
        };
        let text = render(&report);
        assert!(text.starts_with("sandbox: none: RUN is refused (no namespaces)"), "{text}");
        assert!(text.contains("blocked  a setting: it is 0\n           hint: set it to 1"), "{text}");
    }
}
