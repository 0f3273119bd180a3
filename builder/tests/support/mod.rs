//! Build steps in tests: an image made of this machine's own programs, and a place to run them in.
//!
//! A test file that has `mod support;` can run sandboxes: its program becomes the helper when asked, before the test
//! harness sees its arguments. In an image that binds the program as `/probe`, [`probe`] makes system calls.
#![expect(unsafe_code, reason = "code before main needs a linker section")]
#![allow(dead_code, reason = "every test file uses another part of this")]

pub(crate) mod image;
pub(crate) mod step;
pub(crate) mod syscalls;

use wharf_builder::sandbox;

/// Set in the environment of a test program that shall enter a user namespace before anything else.
pub(crate) const ENTER: &str = "WHARF_TEST_ENTER_USER_NAMESPACE";

// SAFETY: the section holds functions that the C library calls before main, after std's own.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    sandbox::run_helper_if_asked();
    syscalls::run_if_asked();
    if std::env::var_os(ENTER).is_some() {
        let tier = sandbox::enter_user_namespace_if_needed();
        println!("tier: {tier:?}");
    }
}

/// Says why a test proves nothing on this machine.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)*) => {{
        println!("skipped: {}", format_args!($($reason)*));
        return;
    }};
}
