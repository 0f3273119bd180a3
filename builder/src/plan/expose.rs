//! The words of an `EXPOSE`: `[[ip:]host:]port[-port][/protocol]`. Addresses and host ports mean nothing to an image and
//! are only checked.

use std::net::IpAddr;
use std::ops::RangeInclusive;

/// What is wrong with a port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PortError {
    #[error("there is no port in it")]
    Missing,
    #[error("ports are numbers from 0 to 65535")]
    Number,
    #[error("a range ends where it starts, or later")]
    Order,
    #[error("the protocol is tcp, udp or sctp")]
    Protocol,
    #[error("the part before the ports is no IP address")]
    Address,
    #[error("the two ranges are not of one length")]
    Length,
}

/// The ports of one word, `80/tcp`.
pub(super) fn parse_port(word: &str) -> Result<Vec<String>, PortError> {
    let mut parts = word.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    let address = parts.next().unwrap_or_default();
    let (ports, protocol) = container.split_once('/').unwrap_or((container, ""));
    if ports.is_empty() {
        return Err(PortError::Missing);
    }
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "" | "tcp" => "tcp",
        "udp" => "udp",
        "sctp" => "sctp",
        _ => return Err(PortError::Protocol),
    };
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    if !bare.is_empty() && bare.parse::<IpAddr>().is_err() {
        return Err(PortError::Address);
    }
    let ports = parse_range(ports)?;
    if !host.is_empty() {
        let host = parse_range(host)?;
        if ports.len() != host.len() && ports.len() != 1 {
            return Err(PortError::Length);
        }
    }
    Ok(ports.map(|port| format!("{port}/{protocol}")).collect())
}

fn parse_range(text: &str) -> Result<RangeInclusive<u16>, PortError> {
    let number = |text: &str| text.parse::<u16>().map_err(|_| PortError::Number);
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    let (start, end) = (number(start)?, number(end)?);
    if end < start { Err(PortError::Order) } else { Ok(start..=end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_docker_reads_them() {
        for (word, expect) in [
            ("80", Ok(vec!["80/tcp"])),
            ("80/UDP", Ok(vec!["80/udp"])),
            ("8000-8002", Ok(vec!["8000/tcp", "8001/tcp", "8002/tcp"])),
            ("127.0.0.1:80:8080", Ok(vec!["8080/tcp"])),
            ("[::1]:80:8080", Ok(vec!["8080/tcp"])),
            ("80:8080/sctp", Ok(vec!["8080/sctp"])),
            ("", Err(PortError::Missing)),
            ("http", Err(PortError::Number)),
            ("70000", Err(PortError::Number)),
            ("2-1", Err(PortError::Order)),
            ("80/x", Err(PortError::Protocol)),
            ("host:1:1", Err(PortError::Address)),
            ("1-3:1-2", Err(PortError::Length)),
        ] {
            let expect = expect.map(|ports| ports.into_iter().map(str::to_owned).collect());
            assert_eq!(parse_port(word), expect, "{word}");
        }
    }
}
