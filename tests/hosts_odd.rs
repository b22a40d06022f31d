//! Odd places for the hosts file, and odd things in it: what becomes of each. Prints a table.
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use privatelinkd::model::{InPlace, PublishErrorKind};
use privatelinkd::publish::hosts::file::MAX_FILE;
use privatelinkd::publish::hosts::{HostsPolicy, block, inspect};
use privatelinkd::sys::clock::Clock;
use rustix::fs::XattrFlags;

use crate::hosts_rig::{Host, plan};

/// What becomes of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Becomes {
    /// A new file takes its place.
    Replaced,
    /// The same file has the new content.
    Overwritten,
    /// A file is there that was not.
    Created,
    /// It stays as it is, for this reason.
    Refused(PublishErrorKind),
}

use Becomes::{Created, Overwritten, Refused, Replaced};

/// Runs these in turn when it goes.
struct Undo(Vec<Vec<String>>);

impl Drop for Undo {
    fn drop(&mut self) {
        self.0.iter().for_each(|command| _ = run(command));
    }
}

fn run(command: &[String]) -> Option<()> {
    let mut process = Command::new(&command[0]);
    let status = process.args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.ok().filter(std::process::ExitStatus::success).map(drop)
}

/// Runs a command line on a path; `None` if that can't be done here.
fn doing(line: &str, path: &Path, undoing: &str) -> Option<Undo> {
    let on = |line: &str| -> Vec<String> {
        line.replace('%', &path.display().to_string()).split(' ').map(str::to_owned).collect()
    };
    run(&on(line)).map(|()| Undo(vec![on(undoing)]))
}

fn set(path: &Path, name: &str, value: &[u8]) -> Option<Undo> {
    rustix::fs::setxattr(path, name, value, XattrFlags::empty()).ok().map(|()| Undo(Vec::new()))
}

/// Of a file: whose it is, its mode, its attributes.
type Beside = (u32, u32, u32, Vec<(String, Vec<u8>)>);

fn beside(path: &Path) -> Beside {
    let (facts, mut buffer) = (std::fs::metadata(path).unwrap(), vec![0; 65_536]);
    let length = rustix::fs::listxattr(path, &mut buffer[..]).unwrap_or(0);
    let names = String::from_utf8(buffer[..length].to_vec()).unwrap();
    let value = |name: &str| {
        let mut value = vec![0; 65_536];
        let length = rustix::fs::getxattr(path, name, &mut value[..]).unwrap();
        (name.to_owned(), value[..length].to_vec())
    };
    let attributes = names.split('\0').filter(|name| !name.is_empty()).map(value).collect();
    (facts.uid(), facts.gid(), facts.mode(), attributes)
}

/// A POSIX ACL as the kernel stores it: user 12345 may read, besides owner, group and others.
fn acl() -> Vec<u8> {
    let entries: [(u16, u16, u32); 5] =
        [(1, 6, u32::MAX), (2, 4, 12345), (4, 4, u32::MAX), (0x10, 4, u32::MAX), (0x20, 4, u32::MAX)];
    let entry =
        |(tag, may, id): (u16, u16, u32)| [&tag.to_le_bytes()[..], &may.to_le_bytes(), &id.to_le_bytes()].concat();
    [&2u32.to_le_bytes()[..], &entries.into_iter().flat_map(entry).collect::<Vec<_>>()].concat()
}

/// A place: its name, `in_place` of the config, how it is made, what becomes of it.
type Place = (&'static str, InPlace, fn(&Path) -> Option<Undo>, Becomes);

fn done() -> Option<Undo> {
    Some(Undo(Vec::new()))
}

fn moved(hosts: &Path) -> std::path::PathBuf {
    let real = hosts.with_file_name("real");
    std::fs::rename(hosts, &real).unwrap();
    real
}

/// A small file system in the place of the folder, full but for the file.
fn full(hosts: &Path) -> Option<Undo> {
    let etc = hosts.parent().unwrap();
    let content = std::fs::read(hosts).unwrap();
    let undo = doing("mount -t tmpfs -o size=16k none %", etc, "umount -l %")?;
    std::fs::write(hosts, content).unwrap();
    let _ = std::fs::write(etc.join("ballast"), vec![b'x'; 65_536]);
    Some(undo)
}

/// As [`full`], with room for the last page of the file alone, which it fills.
fn full_to_the_byte(hosts: &Path) -> Option<Undo> {
    std::fs::write(hosts, [b"# ", &[b'x'; 4093][..], b"\n"].concat()).unwrap();
    full(hosts)
}

const PLACES: &[Place] = &[
    ("an ordinary file", InPlace::Auto, |_| done(), Replaced),
    ("an ordinary file, in_place = true", InPlace::Always, |_| done(), Overwritten),
    ("an empty file", InPlace::Auto, |hosts| std::fs::write(hosts, "").ok().and_then(|()| done()), Replaced),
    ("no file", InPlace::Auto, |hosts| std::fs::remove_file(hosts).ok().and_then(|()| done()), Created),
    (
        "no file, in_place = true",
        InPlace::Always,
        |hosts| std::fs::remove_file(hosts).ok().and_then(|()| done()),
        Created,
    ),
    (
        "no folder",
        InPlace::Auto,
        |hosts| std::fs::remove_dir_all(hosts.parent().unwrap()).ok().and_then(|()| done()),
        Refused(PublishErrorKind::Io),
    ),
    ("a symbolic link", InPlace::Auto, |hosts| symlink(moved(hosts), hosts).ok().and_then(|()| done()), Replaced),
    (
        "a symbolic link to nothing",
        InPlace::Auto,
        |hosts| {
            std::fs::remove_file(hosts).unwrap();
            symlink("nowhere", hosts).ok().and_then(|()| done())
        },
        Refused(PublishErrorKind::Io),
    ),
    (
        "a folder",
        InPlace::Auto,
        |hosts| {
            std::fs::remove_file(hosts).unwrap();
            std::fs::create_dir(hosts).ok().and_then(|()| done())
        },
        Refused(PublishErrorKind::Io),
    ),
    ("a mount point", InPlace::Auto, |hosts| doing("mount --bind % %", hosts, "umount -l %"), Overwritten),
    (
        "a mount point, in_place = false",
        InPlace::Never,
        |hosts| doing("mount --bind % %", hosts, "umount -l %"),
        Refused(PublishErrorKind::MountPoint),
    ),
    (
        "a mount point, read-only",
        InPlace::Auto,
        |hosts| {
            let undo = doing("mount --bind % %", hosts, "umount -l %")?;
            doing("mount -o remount,bind,ro %", hosts, "true").map(|_| undo)
        },
        Refused(PublishErrorKind::Io),
    ),
    (
        "a read-only file system",
        InPlace::Auto,
        |hosts| {
            let etc = hosts.parent().unwrap();
            let undo = doing("mount --bind % %", etc, "umount -l %")?;
            doing("mount -o remount,bind,ro %", etc, "true").map(|_| undo)
        },
        Refused(PublishErrorKind::Io),
    ),
    ("a full disk", InPlace::Auto, full, Refused(PublishErrorKind::Io)),
    ("a full disk, in_place = true", InPlace::Always, full_to_the_byte, Refused(PublishErrorKind::Io)),
    (
        "two names (hard links)",
        InPlace::Auto,
        |hosts| std::fs::hard_link(hosts, hosts.with_file_name("other")).ok().and_then(|()| done()),
        Overwritten,
    ),
    (
        "two names, in_place = false",
        InPlace::Never,
        |hosts| std::fs::hard_link(hosts, hosts.with_file_name("other")).ok().and_then(|()| done()),
        Replaced,
    ),
    (
        "immutable (chattr +i)",
        InPlace::Auto,
        |hosts| doing("chattr +i %", hosts, "chattr -i %"),
        Refused(PublishErrorKind::UnsupportedMetadata),
    ),
    (
        "immutable, in_place = true",
        InPlace::Always,
        |hosts| doing("chattr +i %", hosts, "chattr -i %"),
        Refused(PublishErrorKind::UnsupportedMetadata),
    ),
    (
        "append-only (chattr +a)",
        InPlace::Auto,
        |hosts| doing("chattr +a %", hosts, "chattr -a %"),
        Refused(PublishErrorKind::UnsupportedMetadata),
    ),
    (
        "another owner",
        InPlace::Auto,
        |hosts| chown(hosts, Some(12345), Some(23456)).ok().and_then(|()| done()),
        Replaced,
    ),
    (
        "mode 0640",
        InPlace::Auto,
        |hosts| std::fs::set_permissions(hosts, std::fs::Permissions::from_mode(0o640)).ok().and_then(|()| done()),
        Replaced,
    ),
    ("an attribute (user.*)", InPlace::Auto, |hosts| set(hosts, "user.note", b"keep\0me"), Replaced),
    ("a trusted attribute", InPlace::Auto, |hosts| set(hosts, "trusted.note", b"keep me"), Replaced),
    ("an ACL", InPlace::Auto, |hosts| set(hosts, "system.posix_acl_access", &acl()), Replaced),
    (
        "an SELinux label",
        InPlace::Auto,
        |hosts| set(hosts, "security.selinux", b"system_u:object_r:net_conf_t:s0\0"),
        Replaced,
    ),
    (
        "an SELinux label, in_place = true",
        InPlace::Always,
        |hosts| set(hosts, "security.selinux", b"system_u:object_r:net_conf_t:s0\0"),
        Overwritten,
    ),
];

/// What a look at the file gave: its content, inode, and what is beside the content.
fn seen(hosts: &Path) -> Option<(Vec<u8>, u64, Beside)> {
    let content = std::fs::read(hosts).ok()?;
    Some((content, std::fs::metadata(hosts).unwrap().ino(), beside(hosts)))
}

#[test]
fn each_odd_place_gets_what_is_right_for_it() {
    for (name, in_place, make, expected) in PLACES {
        let host = Host::new();
        let (hosts, policy) = (host.hosts(), host.policy());
        let policy = HostsPolicy { in_place: *in_place, ..policy };
        let Some(_undo) = make(&hosts) else {
            println!("skipped: {name}: no right or no way to make that here");
            continue;
        };
        let is_link = std::fs::symlink_metadata(&hosts).is_ok_and(|facts| facts.is_symlink());
        let before = seen(&hosts);
        host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
        let receipt = inspect::apply_once(&policy, Clock::System);
        let after = seen(&hosts);
        assert_eq!(std::fs::symlink_metadata(&hosts).is_ok_and(|facts| facts.is_symlink()), is_link, "{name}");
        let became = match (&receipt, &before, &after) {
            (Ok(receipt), before, after) if receipt.error.is_some() => {
                assert_eq!(before, after, "{name}");
                Refused(receipt.error.unwrap())
            }
            (Ok(_), None, Some((_, _, (_, _, mode, _)))) => {
                assert_eq!(mode & 0o7777, 0o644, "{name}");
                Created
            }
            (Ok(_), Some((_, before, _)), Some((_, after, _))) if before == after => Overwritten,
            (Ok(_), Some(_), Some(_)) => Replaced,
            // Where not even the folder is, nothing gets as far as a receipt.
            (Err(e), before, after) => {
                assert_eq!(before, after, "{name}: {e}");
                Refused(PublishErrorKind::Io)
            }
            other => panic!("{name}: {other:?}"),
        };
        let why = match &receipt {
            Ok(receipt) => receipt.error_detail.clone(),
            Err(e) => Some(e.to_string()),
        };
        let why = why.unwrap_or_default().replace(&host.dir.path().display().to_string(), "");
        println!("{name:36} {became:?} {why}");
        assert_eq!(became, *expected, "{name}: {why}");
        if let Some((content, _, beside)) = after.filter(|_| !matches!(became, Refused(_))) {
            assert!(String::from_utf8_lossy(&content).contains("\n10.0.0.1 a.x\n"), "{name}");
            let (theirs, kept) = before.map_or((Vec::new(), None), |(content, _, beside)| (content, Some(beside)));
            assert_eq!(*block::strip(&content, None).unwrap(), theirs, "{name}");
            assert!(kept.is_none_or(|kept| kept == beside), "{name}");
        }
        let other = hosts.with_file_name("other");
        if other.exists() {
            let both = std::fs::read(&other).unwrap() == std::fs::read(&hosts).unwrap();
            assert_eq!(both, became == Overwritten, "{name}: the other name");
        }
        drop(_undo);
    }
}

/// Odd contents: name, and the bytes.
fn contents() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("CRLF", b"127.0.0.1 localhost\r\n10.9.9.9 other.example\r\n".to_vec()),
        ("CRLF, no final newline", b"127.0.0.1 localhost\r\n10.9.9.9 other.example".to_vec()),
        ("a BOM", b"\xef\xbb\xbf127.0.0.1 localhost\n".to_vec()),
        ("a BOM alone", b"\xef\xbb\xbf".to_vec()),
        ("UTF-16", "127.0.0.1 localhost\n".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("NUL", b"127.0.0.1 localhost\n\0\0\n10.9.9.9\0other\n\0".to_vec()),
        ("not UTF-8", b"127.0.0.1 localhost\n# caf\xe9\n\xff\xfe\n".to_vec()),
        ("carriage returns alone", b"127.0.0.1 localhost\r10.9.9.9 other\r".to_vec()),
        ("no final newline", b"127.0.0.1 localhost\n# end".to_vec()),
        ("newlines alone", b"\n\n\n".to_vec()),
        ("a line of 3 MB", [b"127.0.0.1 localhost\n# ", &vec![b'x'; 3_000_000][..], b"\n::1 localhost\n"].concat()),
        ("a line of 3 MB, not ended", vec![b'#'; 3_000_000]),
        ("a line of 3 MB of names", format!("10.9.9.9{}\n", " other.example".repeat(214_000)).into_bytes()),
        (
            "1,000,000 lines",
            (0..1_000_000)
                .map(|n| format!("10.9.{}.{} n{n}.example\n", n / 250 % 250, n % 250))
                .collect::<String>()
                .into_bytes(),
        ),
        ("1,000,000 empty lines", vec![b'\n'; 1_000_000]),
        ("64 MiB, nearly", vec![b'#'; usize::try_from(MAX_FILE).unwrap() - 1000]),
    ]
}

#[test]
fn whatever_is_in_the_file_stays() {
    for (name, content) in contents() {
        for in_place in [InPlace::Auto, InPlace::Always] {
            let host = Host::new();
            let policy = HostsPolicy { in_place, ..host.policy() };
            std::fs::write(host.hosts(), &content).unwrap();
            for address in ["10.0.0.1", "10.0.0.2"] {
                host.hand_over(&plan(&[("a.x", &[address]), ("b.x", &["10.0.0.3"])]));
                let receipt = inspect::apply_once(&policy, Clock::System).unwrap();
                assert_eq!((receipt.error, receipt.changed), (None, true), "{name}: {:?}", receipt.error_detail);
                let now = std::fs::read(host.hosts()).unwrap();
                let ours = block::salvage(&now).unwrap();
                let said: Vec<String> = ours.pairs().map(|(address, name)| format!("{address} {name}")).collect();
                assert_eq!(said, [format!("{address} a.x"), "10.0.0.3 b.x".to_owned()], "{name}");
                assert!(*block::strip(&now, None).unwrap() == content, "{name}: a foreign byte is another");
            }
        }
        println!("{name:28} {:>10} bytes stay", content.len());
    }
}

#[test]
fn a_file_over_the_limit_is_refused_with_a_clear_word() {
    let host = Host::new();
    let content = vec![b'#'; usize::try_from(MAX_FILE).unwrap() - 10];
    for in_place in [InPlace::Auto, InPlace::Always] {
        let policy = HostsPolicy { in_place, ..host.policy() };
        std::fs::write(host.hosts(), &content).unwrap();
        host.hand_over(&plan(&[("a.x", &["10.0.0.1"])]));
        let receipt = inspect::apply_once(&policy, Clock::System).unwrap();
        let why = receipt.error_detail.unwrap();
        assert_eq!(receipt.error, Some(PublishErrorKind::Io));
        assert!(
            why.contains("expected at most 64 MiB, found 6710") && why.ends_with("bytes: it stays as it is"),
            "{why}"
        );
        assert!(std::fs::read(host.hosts()).unwrap() == content);
    }
}
