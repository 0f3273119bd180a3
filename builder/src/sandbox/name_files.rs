//! The texts of `/etc/hosts` and `/etc/resolv.conf` that a build step sees.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::IpAddr;

/// systemd-resolved's stub address, and the file with the servers behind it.
const STUB: &str = "127.0.0.53";
const BEHIND_STUB: &str = "/run/systemd/resolve/resolv.conf";

/// `/etc/hosts`: the machine's own names, then the caller's.
pub(super) fn hosts(hostname: &str, extra: &[(String, IpAddr)]) -> String {
    let mut text = format!("127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for (name, address) in extra {
        let _ = writeln!(text, "{address}\t{name}");
    }
    text
}

/// `/etc/resolv.conf`: the host's, empty if it has none.
pub(super) fn resolv_conf() -> io::Result<String> {
    let text = read("/etc/resolv.conf")?;
    if only_stub(&text) {
        let behind = read(BEHIND_STUB)?;
        if !behind.is_empty() {
            return Ok(behind);
        }
    }
    Ok(text)
}

fn read(path: &str) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

fn only_stub(text: &str) -> bool {
    let mut servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()).flatten()
    });
    servers.next() == Some(STUB) && servers.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_names_this_machine_and_the_extra_ones() {
        let text = hosts("wharf", &[("db".to_owned(), "10.0.0.7".parse().unwrap())]);
        assert_eq!(text, "127.0.0.1\tlocalhost wharf\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.7\tdb\n");
    }

    #[test]
    fn a_lone_stub_resolver_is_recognised() {
        assert!(only_stub("# systemd\nnameserver 127.0.0.53\noptions edns0\n"));
        assert!(!only_stub("nameserver 127.0.0.53\nnameserver 9.9.9.9\n"));
        assert!(!only_stub("nameserver 9.9.9.9\n"));
        assert!(!only_stub(""));
    }
}
