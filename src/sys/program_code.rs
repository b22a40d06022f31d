//! Gives back the memory of program code that only the start needed.
//!
//! The kernel maps a file in windows of 64 KiB around each page that is used. Reading a configuration, setting TLS up
//! and a first round of everything so leave nearly the whole program resident, and its relocations besides, which
//! nobody reads again. The kernel may drop such pages at any time, and does when memory is short; what is used again
//! comes back from the page cache, a window in about a microsecond. All this does is ask.

use std::io;
use std::ops::Range;

use rustix::mm::{Advice, madvise};

/// Takes the code and the constants of this program and of its libraries out of the resident memory; what is used comes
/// back by itself. Returns how many bytes that may be. Blocks for about a millisecond.
///
/// # Errors
/// What the kernel says to being asked for the mappings, or to the advice. Then more stays resident than must, and
/// nothing else is different.
pub fn give_back() -> io::Result<usize> {
    let mut bytes = 0;
    for range in unchanged(&std::fs::read_to_string("/proc/self/smaps")?) {
        advise(&range)?;
        bytes += range.len();
    }
    Ok(bytes)
}

#[allow(unsafe_code, reason = "memory that no reference of Rust stands for is named by its address")]
fn advise(range: &Range<usize>) -> io::Result<()> {
    let start = std::ptr::with_exposed_provenance_mut(range.start);
    // SAFETY: after MADV_DONTNEED the next access reads a page from its file again. `unchanged` names only mappings
    // that can't be written and none of whose pages differs from the file, and nothing makes them writable later:
    // whoever holds a reference into one goes on reading the same bytes.
    unsafe { madvise(start, range.len(), Advice::LinuxDontNeed) }.map_err(Into::into)
}

/// Of `/proc/self/smaps`, see proc_pid_smaps(5), the private mappings of files that can't be written and that hold just
/// what the file does: no page has become the process's own, as one does by a relocation or a breakpoint.
fn unchanged(smaps: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut open = false;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        match first {
            "Anonymous:" | "Swap:" if open && words.next() != Some("0") => {
                found.pop();
                open = false;
            }
            _ if first.ends_with(':') => {}
            range => {
                let file = words.clone().nth(4).is_some_and(|file| file.starts_with('/'));
                open = file && matches!(words.next(), Some("r--p" | "r-xp"));
                found.extend(addresses(range).filter(|_| open));
            }
        }
    }
    found
}

/// `7f0c2a600000-7f0c2a626000`
fn addresses(range: &str) -> Option<Range<usize>> {
    let (start, end) = range.split_once('-')?;
    let address = |hex| usize::from_str_radix(hex, 16).ok();
    Some(address(start)?..address(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_in_its_file_goes() {
        let smaps = "\
00001000-00002000 r--p 00000000 fe:00 157 /usr/bin/privatelinkd
Rss:                   4 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me sd
00002000-00004000 r-xp 00001000 fe:00 157 /usr/bin/privatelinkd (deleted)
Anonymous:             0 kB
00004000-00005000 r--p 00003000 fe:00 157 /usr/bin/privatelinkd
Anonymous:             4 kB
Swap:                  0 kB
00005000-00006000 r--p 00003000 fe:00 157 /usr/bin/privatelinkd
Anonymous:             0 kB
Swap:                  4 kB
00006000-00007000 rw-p 00004000 fe:00 157 /usr/bin/privatelinkd
Anonymous:             0 kB
00007000-00008000 r--s 00000000 fe:00 158 /usr/share/shared
Anonymous:             0 kB
00008000-00009000 r--p 00000000 00:00 0
Anonymous:             0 kB
00009000-0000a000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
";
        assert!(unchanged(smaps) == [0x1000..0x2000, 0x2000..0x4000]);
    }

    #[test]
    fn junk_is_no_mapping() {
        for junk in ["", "-", "zz-1 r--p 0 0 0 /x", "1000 r--p 0 0 0 /x", "Anonymous:\nSwap: 1 kB", "Swap:", "1-2 r--p"]
        {
            assert!(unchanged(junk).is_empty(), "{junk}");
        }
    }

    /// Of the mapping of this file in this process: how much of it is resident, in KiB.
    fn resident(path: &str) -> Option<u64> {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let lines = smaps.lines().skip_while(|line| !line.ends_with(path)).find(|line| line.starts_with("Rss:"));
        lines?.split_ascii_whitespace().nth(1)?.parse().ok()
    }

    #[test]
    #[allow(unsafe_code, reason = "a mapping of a file, as the loader makes them")]
    fn what_goes_is_read_again_where_it_is_used() {
        const SIZE: usize = 64 * 1024;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [7; SIZE]).unwrap();
        let (reads, private) = (rustix::mm::ProtFlags::READ, rustix::mm::MapFlags::PRIVATE);
        // SAFETY: the kernel finds a place where nothing is, and the file stays as it is.
        let bytes: &'static [u8] = unsafe {
            let at = rustix::mm::mmap(std::ptr::null_mut(), SIZE, reads, private, file.as_file(), 0).unwrap();
            std::slice::from_raw_parts(at.cast(), SIZE)
        };
        let path = file.path().to_str().unwrap();
        assert!(bytes.iter().all(|b| *b == 7));
        assert_eq!(resident(path), Some(64));
        assert!(give_back().unwrap() > SIZE);
        assert_eq!(resident(path), Some(0));
        assert!(bytes.iter().all(|b| *b == 7));
        assert_eq!(resident(path), Some(64));
    }
}
