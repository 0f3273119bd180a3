//! Names and numbers of Linux signals, as `STOPSIGNAL` takes them.

const NAMES: [&str; 35] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
    "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN",
];

/// Whether `text` is a signal: a number, or a name with or without `SIG`.
pub(super) fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<u32>() {
        return (1..=64).contains(&number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = || {
        let above = name.strip_prefix("RTMIN+").and_then(|count| count.parse::<u32>().ok());
        let below = name.strip_prefix("RTMAX-").and_then(|count| count.parse::<u32>().ok());
        above.is_some_and(|count| (1..=15).contains(&count)) || below.is_some_and(|count| (1..=14).contains(&count))
    };
    NAMES.contains(&name) || name == "RTMAX" || real_time()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_names_and_numbers() {
        for good in ["SIGTERM", "TERM", "sigkill", "9", "64", "SIGRTMIN+3", "RTMAX-14", "SIGRTMAX"] {
            assert!(is_signal(good), "{good}");
        }
        for bad in ["", "SIG", "0", "65", "-9", "SIGFOO", "RTMIN+16", "RTMAX-0"] {
            assert!(!is_signal(bad), "{bad}");
        }
    }
}
