//! What the kernel says of this process: the usual `process_*` metrics.
//!
//! Read from `/proc/self`; reads are bounded, and what can't be read is absent. CPU time comes from the process clock
//! and not from `/proc/self/stat`, which counts in ticks of 10 ms.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// One reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessStats {
    /// User and system time of all threads.
    pub cpu: Option<Duration>,
    /// `VmRSS`, in bytes.
    pub resident: Option<u64>,
    /// `VmSize`, in bytes.
    pub virtual_size: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// The soft limit of open file descriptors; `None` where it is unlimited, too.
    pub max_fds: Option<u64>,
}

impl ProcessStats {
    /// Reads them. Blocks for some ten microseconds.
    #[must_use]
    pub fn read() -> Self {
        let status = read_bounded(Path::new("/proc/self/status")).unwrap_or_default();
        let limits = read_bounded(Path::new("/proc/self/limits")).unwrap_or_default();
        Self {
            cpu: clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).ok().map(Duration::from),
            resident: kib(&status, "VmRSS:"),
            virtual_size: kib(&status, "VmSize:"),
            open_fds: count_fds(Path::new("/proc/self/fd")),
            max_fds: soft_limit(&limits, "Max open files"),
        }
    }
}

/// The text of a small file; `None` if it can't be read or is not UTF-8.
fn read_bounded(path: &Path) -> Option<String> {
    const MAX: u64 = 64 * 1024;
    let mut text = String::new();
    File::open(path).ok()?.take(MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// A line such as `VmRSS: 6568 kB`, in bytes.
fn kib(status: &str, key: &str) -> Option<u64> {
    let rest = status.lines().find_map(|l| l.strip_prefix(key))?;
    let number = rest.trim().strip_suffix("kB")?.trim();
    number.parse::<u64>().ok()?.checked_mul(1024)
}

/// The first column of a line such as `Max open files            1024                 524288               files`.
fn soft_limit(limits: &str, key: &str) -> Option<u64> {
    let rest = limits.lines().find_map(|l| l.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Entries of the folder, without the descriptor that reads it.
fn count_fds(folder: &Path) -> Option<u64> {
    let entries = std::fs::read_dir(folder).ok()?.count();
    u64::try_from(entries).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_read() {
        let stats = ProcessStats::read();
        assert!(stats.cpu.is_some_and(|c| c > Duration::ZERO));
        assert!(stats.resident.unwrap() > 100 * 1024);
        assert!(stats.virtual_size >= stats.resident);
        assert!(stats.open_fds.unwrap() >= 3);
    }

    #[test]
    fn lines_are_taken_apart() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            1024                 524288               files\n\
                      Max locked memory         unlimited            unlimited            bytes\n";
        assert_eq!(soft_limit(limits, "Max open files"), Some(1024));
        assert_eq!(soft_limit(limits, "Max locked memory"), None);
        assert_eq!(kib("Name:\tx\nVmRSS:\t    6568 kB\n", "VmRSS:"), Some(6568 * 1024));
        assert_eq!(kib("VmRSS:\t18446744073709551615 kB\n", "VmRSS:"), None);
        assert_eq!(kib("", "VmRSS:"), None);
    }

    #[test]
    fn what_is_missing_is_absent() {
        assert_eq!(read_bounded(Path::new("/nonexistent")), None);
        assert_eq!(count_fds(Path::new("/nonexistent")), None);
    }
}
