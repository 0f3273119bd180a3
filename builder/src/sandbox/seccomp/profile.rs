//! Which system calls a confined process may make: the profile container engines use by default.
//!
//! For this processor's own convention it is a list of what is allowed. For the 32-bit convention (`linux/386` on
//! x86-64, `linux/arm` on arm64) it is a list of what is denied: those numbers have no names in any crate, and
//! what must be kept from a process is short and does not change.

use super::bpf::{Rule, Table};
use super::native::{ALLOWED, ALLOWED_HERE, ALLOWED_LATE, LAST_KNOWN};

const DENY: Rule = Rule::Fail(libc::EPERM);

/// `CLONE_NEW*`, all but the time namespace, whose bit `clone` reads as part of the exit signal.
const NO_NAMESPACES: Rule = Rule::AllowWithoutBits(0x7e02_0000);

/// glibc and Go try `clone3` first, whose arguments a filter cannot read, and use `clone` if there is none.
const ABSENT: Rule = Rule::Fail(libc::ENOSYS);

/// `PER_LINUX`, `PER_LINUX32`, with and without `UNAME26`, and the question what is in force.
const PERSONALITIES: Rule = Rule::AllowOnly(&[0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff]);

/// All address families but the dead ones (`DECnet`, ASH, ECONET, IRDA, WANPIPE, ISDN, CAIF), the kernel's crypto
/// interface (38), and VM sockets (40), which reach the hypervisor past every network namespace.
const FAMILIES: Rule = Rule::AllowOnly(&[
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36,
    39, 41, 42, 43, 44, 45,
]);

/// The tables of this processor: its own convention first.
pub(super) fn tables() -> [Table; 2] {
    [native(), compat()]
}

fn native() -> Table {
    let mut allowed: Vec<u32> = [ALLOWED, ALLOWED_LATE, ALLOWED_HERE]
        .into_iter()
        .flatten()
        .filter_map(|number| u32::try_from(*number).ok())
        .collect();
    allowed.sort_unstable();
    Table::new(ARCHITECTURE, LAST_KNOWN, ABSENT, |number| match i64::from(number) {
        libc::SYS_clone => NO_NAMESPACES,
        libc::SYS_clone3 => ABSENT,
        libc::SYS_personality => PERSONALITIES,
        libc::SYS_socket => FAMILIES,
        _ if allowed.binary_search(&number).is_ok() => Rule::Allow,
        _ => DENY,
    })
}

fn compat() -> Table {
    let mut table = Table::new(COMPAT_ARCHITECTURE, LAST_KNOWN, ABSENT, |number| match number {
        COMPAT_CLONE => NO_NAMESPACES,
        COMPAT_PERSONALITY => PERSONALITIES,
        COMPAT_SOCKET => FAMILIES,
        CLONE3 => ABSENT,
        _ if COMPAT_DENIED.contains(&number) || LATE_DENIED.contains(&number) => DENY,
        _ => Rule::Allow,
    });
    table.ranges.extend_from_slice(COMPAT_PRIVATE);
    table
}

/// Same number under every convention, as are all calls from 424 on.
const CLONE3: u32 = 435;

/// `io_uring_*`, `open_tree`, `move_mount`, `fsopen`, `fsconfig`, `fsmount`, `fspick`, `pidfd_getfd`,
/// `process_madvise`, `mount_setattr`, `quotactl_fd`, `set_mempolicy_home_node`, `lsm_*`.
const LATE_DENIED: [u32; 17] = [425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 440, 442, 443, 450, 459, 460, 461];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "x86_64")]
const COMPAT_ARCHITECTURE: u32 = 0x4000_0003;
#[cfg(target_arch = "x86_64")]
const COMPAT_CLONE: u32 = 120;
#[cfg(target_arch = "x86_64")]
const COMPAT_PERSONALITY: u32 = 136;
#[cfg(target_arch = "x86_64")]
const COMPAT_SOCKET: u32 = 359;
/// In this order: `mount`, `umount`, `stime`, `acct`, `umount2`, `settimeofday`, `swapon`, `reboot`, `iopl`,
/// `vhangup`, `vm86old`, `swapoff`, `sethostname`, `setdomainname`, `create_module` to `delete_module`,
/// `quotactl`, `sysfs`, `ioperm`, `syslog`, `nfsservctl`, `vm86`, `pivot_root`, `lookup_dcookie`,
/// `clock_settime`, `mbind` to `set_mempolicy`, `kexec_load`, `add_key` to `keyctl`, `migrate_pages`, `unshare`,
/// `move_pages`, `perf_event_open`, `fanotify_init`, `open_by_handle_at`, `setns`, `kcmp`, `finit_module`, `bpf`,
/// `userfaultfd`, `clock_settime64`.
#[cfg(target_arch = "x86_64")]
const COMPAT_DENIED: &[u32] = &[
    21, 22, 25, 51, 52, 79, 87, 88, 110, 111, 113, 115, 74, 121, 127, 128, 129, 131, 135, 101, 103, 169, 166, 217, 253,
    264, 274, 275, 276, 283, 286, 287, 288, 294, 310, 317, 336, 338, 342, 346, 349, 350, 357, 374, 404,
];

/// None here.
#[cfg(target_arch = "x86_64")]
const COMPAT_PRIVATE: &[(u32, Rule)] = &[];

#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(target_arch = "aarch64")]
const COMPAT_ARCHITECTURE: u32 = 0x4000_0028;
#[cfg(target_arch = "aarch64")]
const COMPAT_CLONE: u32 = 120;
#[cfg(target_arch = "aarch64")]
const COMPAT_PERSONALITY: u32 = 136;
#[cfg(target_arch = "aarch64")]
const COMPAT_SOCKET: u32 = 281;
/// In this order: `mount`, `umount`, `stime`, `acct`, `umount2`, `sethostname`, `settimeofday`, `swapon`, `reboot`,
/// `syslog`, `vhangup`, `swapoff`, `setdomainname`, `init_module`, `delete_module`, `quotactl`, `sysfs`,
/// `nfsservctl`, `pivot_root`, `lookup_dcookie`, `clock_settime`, `add_key` to `keyctl`, `mbind` to
/// `set_mempolicy`, `unshare`, `move_pages`, `kexec_load`, `perf_event_open`, `fanotify_init`,
/// `open_by_handle_at`, `setns`, `kcmp`, `finit_module`, `bpf`, `userfaultfd`, `migrate_pages`,
/// `kexec_file_load`, `clock_settime64`.
#[cfg(target_arch = "aarch64")]
const COMPAT_DENIED: &[u32] = &[
    21, 22, 25, 51, 52, 74, 79, 87, 88, 103, 111, 115, 121, 128, 129, 131, 135, 169, 218, 249, 262, 309, 310, 311, 319,
    320, 321, 337, 344, 347, 364, 367, 371, 375, 378, 379, 386, 388, 400, 401, 404,
];

/// ARM's own calls, `breakpoint` to `set_tls`, live far above the others; every ARM program needs them.
#[cfg(target_arch = "aarch64")]
const COMPAT_PRIVATE: &[(u32, Rule)] = &[(0xf_0001, Rule::Allow), (0xf_0006, ABSENT)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::seccomp::bpf::{compile, run};

    const ALLOWED: Rule = Rule::Allow;

    #[track_caller]
    fn check(number: libc::c_long, argument: u32, expected: Rule) {
        let program = compile(&tables());
        assert_eq!(run(&program, ARCHITECTURE, u32::try_from(number).unwrap(), argument), expected, "call {number}");
    }

    #[test]
    fn what_changes_the_machine_or_the_confinement_is_denied() {
        for number in [
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_bpf,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_kexec_load,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_reboot,
            libc::SYS_swapon,
            libc::SYS_open_by_handle_at,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_fsopen,
            libc::SYS_open_tree,
            libc::SYS_move_mount,
            libc::SYS_mount_setattr,
            libc::SYS_sethostname,
            libc::SYS_settimeofday,
            libc::SYS_syslog,
            libc::SYS_acct,
            libc::SYS_pidfd_getfd,
        ] {
            check(number, 0, DENY);
        }
    }

    #[test]
    fn what_builds_do_all_day_is_allowed() {
        for number in [
            libc::SYS_read,
            libc::SYS_openat,
            libc::SYS_fchmodat,
            libc::SYS_fchownat,
            libc::SYS_mknodat,
            libc::SYS_execve,
            libc::SYS_setresuid,
            libc::SYS_capset,
            libc::SYS_chroot,
            libc::SYS_ptrace,
            libc::SYS_statx,
            libc::SYS_getrandom,
            libc::SYS_close_range,
            libc::SYS_seccomp,
        ] {
            check(number, 0, ALLOWED);
        }
        check(452, 0, ALLOWED);
    }

    #[test]
    fn calls_newer_than_the_list_do_not_exist() {
        check(467, 0, ABSENT);
        check(100_000, 0, ABSENT);
        // The x32 convention shares the architecture and marks its numbers with this bit.
        check(0x4000_0000, 0, ABSENT);
    }

    #[test]
    fn arguments_decide_where_the_call_alone_does_not() {
        check(libc::SYS_clone, 17, ALLOWED);
        check(libc::SYS_clone, libc::CLONE_NEWUSER.cast_unsigned(), DENY);
        check(libc::SYS_clone, libc::CLONE_NEWNS.cast_unsigned(), DENY);
        check(libc::SYS_clone3, 0, ABSENT);
        check(libc::SYS_personality, 0, ALLOWED);
        check(libc::SYS_personality, 0xffff_ffff, ALLOWED);
        check(libc::SYS_personality, 0x0040_0000, DENY);
        check(libc::SYS_socket, libc::AF_INET6.cast_unsigned(), ALLOWED);
        check(libc::SYS_socket, libc::AF_VSOCK.cast_unsigned(), DENY);
        check(libc::SYS_socket, libc::AF_ALG.cast_unsigned(), DENY);
        check(libc::SYS_socket, 46, DENY);
    }

    #[test]
    fn the_32_bit_convention_is_no_way_around() {
        let program = compile(&tables());
        let outcome = |number, argument| run(&program, COMPAT_ARCHITECTURE, number, argument);
        for denied in COMPAT_DENIED.iter().chain(&LATE_DENIED) {
            assert_eq!(outcome(*denied, 0), DENY, "{denied}");
        }
        assert_eq!(outcome(1, 0), ALLOWED, "exit");
        assert_eq!(outcome(3, 0), ALLOWED, "read");
        assert_eq!(outcome(COMPAT_CLONE, 0x1000_0000), DENY);
        assert_eq!(outcome(CLONE3, 0), ABSENT);
    }
}
