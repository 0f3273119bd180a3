//! `FROM` lines: variables, platforms, defaults.

use wharf_spec::{Platform, Reference};

use super::super::expand::expand;
use super::super::suggest::did_you_mean;
use super::super::{Dockerfile, Escape, Origin, Stage, Word};
use super::rules::{
    FROM_PLATFORM_FLAG_CONST_DISALLOWED, INVALID_BASE_IMAGE_PLATFORM, INVALID_DEFAULT_ARG_IN_FROM,
    REDUNDANT_TARGET_PLATFORM, UNDEFINED_ARG_IN_FROM,
};
use super::scope::Scope;
use super::{Facts, Findings, Ground};

pub(super) fn check(file: &Dockerfile, facts: &Facts<'_>, findings: &mut Findings<'_>) {
    let escape = file.directives.escape();
    let given = global_scope(file, facts, true);
    let defaults = global_scope(file, facts, false);
    for (position, stage) in file.stages.iter().enumerate() {
        let origin = &stage.from.origin;
        for word in [Some(stage.base()), stage.platform()].into_iter().flatten() {
            undefined(word, origin, (&given, escape), findings);
        }
        default_base(stage, (&defaults, escape), findings);
        if let Some(platform) = stage.platform() {
            flag(stage, platform, (&given, escape), findings);
        }
        if let Some(Ground::Image { mismatch: Some((wanted, found)), .. }) = facts.grounds.get(position) {
            let detail = format!("the base image is for {found}, and this stage for {wanted}");
            findings.note(&INVALID_BASE_IMAGE_PLATFORM, origin, stage.base().span, detail);
        }
    }
}

/// The scope of `FROM` lines, with what was given on the command line or as if nothing was.
pub(super) fn global_scope(file: &Dockerfile, facts: &Facts<'_>, with_given: bool) -> Scope {
    let escape = file.directives.escape();
    let mut scope = Scope::of(facts.predefined);
    for declaration in file.global_args.iter().flat_map(|statement| &statement.instruction.args) {
        let name = declaration.name.as_str();
        scope.declare(name);
        let given = facts.build_args.get(name).filter(|_| with_given).cloned();
        let default = || {
            let default = declaration.default.as_ref()?;
            Some(scope.expand(|lookup| expand(default, escape, lookup))?.value)
        };
        if let Some(value) = given.or_else(default) {
            scope.set(name, value);
        }
    }
    scope
}

fn undefined(word: &Word, origin: &Origin, (scope, escape): (&Scope, Escape), findings: &mut Findings<'_>) {
    let Some(expansion) = scope.expand(|lookup| expand(word, escape, lookup)) else { return };
    for reference in scope.unheard_of(expansion.references) {
        let detail = format!("`{}` in FROM is not declared before the first FROM", reference.name);
        let help = did_you_mean(&reference.name, scope.names())
            .unwrap_or_else(|| format!("declare it there: ARG {}=value", reference.name));
        findings.advise(&UNDEFINED_ARG_IN_FROM, origin, reference.span, detail, Some(help));
    }
}

/// Without any `--build-arg`, the base must still have a name.
fn default_base(stage: &Stage, (defaults, escape): (&Scope, Escape), findings: &mut Findings<'_>) {
    let base = stage.base();
    let Some(expansion) = defaults.expand(|lookup| expand(base, escape, lookup)) else { return };
    if expansion.references.is_empty() || expansion.value.parse::<Reference>().is_ok() {
        return;
    }
    let detail = match expansion.value.as_str() {
        "" => format!("without a --build-arg, `{}` names no image", base.text),
        value => format!("without a --build-arg, `{}` is `{value}`, which names no image", base.text),
    };
    let help = Some("give the arguments in it defaults that make a whole name".to_owned());
    findings.advise(&INVALID_DEFAULT_ARG_IN_FROM, &stage.from.origin, base.span, detail, help);
}

fn flag(stage: &Stage, platform: &Word, (scope, escape): (&Scope, Escape), findings: &mut Findings<'_>) {
    const TARGET: &str = "TARGETPLATFORM";
    let Some(expansion) = scope.expand(|lookup| expand(platform, escape, lookup)) else { return };
    let origin = &stage.from.origin;
    match expansion.references.as_slice() {
        [] => {
            let Ok(constant) = expansion.value.parse::<Platform>() else { return };
            let name = stage.name().unwrap_or_default();
            // A stage named after its platform is meant to have that one.
            if name.contains(&constant.os) || name.contains(&constant.architecture) {
                return;
            }
            let detail = format!("the platform of this stage is always `{}`", expansion.value);
            let help = "leave --platform out, or write --platform=$BUILDPLATFORM for a stage that cross-compiles";
            let span = platform.span;
            findings.advise(&FROM_PLATFORM_FLAG_CONST_DISALLOWED, origin, span, detail, Some(help.to_owned()));
        }
        [only] if only.name == TARGET && scope.get(TARGET).as_ref() == Some(&expansion.value) => {
            let detail = "the target platform is the default".to_owned();
            findings.advise(
                &REDUNDANT_TARGET_PLATFORM,
                origin,
                platform.span,
                detail,
                Some("leave --platform out".to_owned()),
            );
        }
        _ => {}
    }
}
