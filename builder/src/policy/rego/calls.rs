//! Which functions of a policy call which. Rego knows no recursion, and the interpreter would run out of stack.

use std::collections::{BTreeMap, BTreeSet};

use super::engine::Module;
use super::words::Words;

type Calls = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

/// A function that calls itself, perhaps by way of others.
pub(super) fn recursion(modules: &[Module]) -> Option<String> {
    let mut calls = Calls::new();
    for module in modules {
        let words = Words::of(&module.text);
        let package = words.package().map(|(path, _)| path).unwrap_or_default();
        let aliases = words.aliases();
        for (name, called) in words.functions() {
            let named = [package.clone(), vec![name]].concat();
            let whole = called.into_iter().filter_map(|chain| {
                let (first, rest) = chain.split_first()?;
                match (first.as_str(), aliases.iter().find(|(alias, _)| alias == first)) {
                    ("data", _) => Some(rest.to_vec()),
                    (_, Some((_, path))) => Some([path.as_slice(), rest].concat()),
                    (_, None) => Some([package.as_slice(), &chain].concat()),
                }
            });
            calls.entry(named).or_default().extend(whole);
        }
    }
    let around = calls.keys().find(|function| reaches(&calls, function))?;
    around.last().cloned()
}

/// Whether calls lead from a function back to it.
fn reaches(calls: &Calls, function: &Vec<String>) -> bool {
    let (mut seen, mut next) = (BTreeSet::new(), vec![function]);
    while let Some(one) = next.pop() {
        for called in calls.get(one).into_iter().flatten() {
            if called == function {
                return true;
            }
            if seen.insert(called) {
                next.push(called);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(texts: &[&str]) -> Option<String> {
        let module = |text: &&str| Module { name: String::new(), text: (*text).to_owned() };
        recursion(&texts.iter().map(module).collect::<Vec<_>>())
    }

    #[test]
    fn functions_that_call_themselves_are_found() {
        for (texts, expected) in [
            (&["package a\nf(x) := f(x + 1)\n"][..], Some("f")),
            (&["package a\nf(x) := g(x)\ng(x) if {\n\ty := h(x)\n\tf(y)\n}\n"], Some("f")),
            (
                &["package a\nimport data.b\nf(x) := b.g(x)\n", "package b\nimport data.a as z\ng(x) := z.f(x)\n"],
                Some("f"),
            ),
            (&["package a\nf(x) := data.a.f(x)\n"], Some("f")),
            (&["package a\nf(x) := 1 if x else := f(2)\n"], Some("f")),
            (&["package a\nf(x) := g(x)\ng(x) := x.f(1)\n  allow if f(1)\nf(x, y) if count(x) > 1\n"], None),
            (&["package a\nf(x) := 1\n", "package b\nimport data.a\nf(x) := a.f(x)\nallow if f(1)\n"], None),
        ] {
            assert_eq!(found(texts).as_deref(), expected, "{texts:?}");
        }
    }
}
