//! Build steps in tests: an image made of this machine's own programs, and a place to run them in.
//!
//! A test file that has `mod support;` can run sandboxes: its program becomes the helper when asked, before the test
//! harness sees its arguments, and an ordinary user's enters a user namespace. Where that is not allowed, none of its
//! tests is run. In an image that binds the program as `/probe`, [`syscalls`] makes system calls.
#![expect(unsafe_code, reason = "code before main needs a linker section")]
#![allow(dead_code, reason = "every test file uses another part of this")]

pub(crate) mod image;
pub(crate) mod step;
pub(crate) mod syscalls;

use rustix::thread::{CapabilitySet, CapabilitySets};
use wharf_builder::sandbox::{self, Tier};

/// Set in the environment of a test program that shall have no privileges at all.
pub(crate) const STAY: &str = "WHARF_TEST_STAY_UNPRIVILEGED";

// SAFETY: the section holds functions that the C library calls before main, after std's own.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    sandbox::run_helper_if_asked();
    syscalls::run_if_asked();
    if std::env::args().nth(1).is_some_and(|arg| arg == PROBE) {
        println!("{:#?}", sandbox::probe());
        std::process::exit(0);
    }
    if std::env::var_os(STAY).is_some() {
        return give_up_privileges();
    }
    match sandbox::enter_user_namespace_if_needed() {
        Ok(Tier::None { reason }) if reason.starts_with("the kernel refuses") => {
            println!("skipped: {reason}");
            std::process::exit(0);
        }
        Ok(Tier::Root | Tier::UserNamespaceSubuid | Tier::UserNamespaceSingle) => {}
        broken => {
            println!("{broken:?}");
            std::process::exit(1);
        }
    }
}

/// An ordinary user's test program is root of a user namespace, and so is what it starts again.
fn give_up_privileges() {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).expect("anybody may give up privileges");
}

/// The argument that makes a test program print what it finds about the machine, and end.
pub(crate) const PROBE: &str = "--print-tiers";

/// Whether the machine's root runs the tests.
pub(crate) fn is_root() -> bool {
    Tier::current() == Tier::Root
}

/// Whether images may use other ids than 0.
pub(crate) fn has_many_ids() -> bool {
    Tier::current() != Tier::UserNamespaceSingle
}

/// Says why a test proves nothing on this machine.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)*) => {{
        println!("skipped: {}", format_args!($($reason)*));
        return;
    }};
}
