//! Who may change the files of the configuration itself, and who can read them.

use super::context::Bad;
use crate::config::complaint::{Complaint, Severity};
use crate::config::facts::{Access, FileOwnership, Kind, SERVICE_USER, ServiceUser};
use crate::model::shown::{is_unseen, owner_in_words};

/// What must not stand if the configuration is to count as root's own: files and folders that another user than root
/// and `me` could change. An ACL that lets others write shows in the group's bits of the mode (acl(5)).
pub(crate) fn others_may_write(all: &[FileOwnership], me: u32) -> Vec<Complaint> {
    all.iter().flat_map(|s| [foreign(s, me), loose(s)]).flatten().collect()
}

fn foreign(standing: &FileOwnership, me: u32) -> Option<Complaint> {
    let (owner, noun) = (standing.access.owner, noun(standing.kind));
    let expected = match me {
        0 => format!("a {noun} owned by root"),
        me => format!("a {noun} owned by root or by uid {me}"),
    };
    let bad = Bad::found_at(&None, expected, format!("owner {owner}")).help("chown root");
    (owner != 0 && owner != me).then(|| Complaint::about_file(&standing.name, bad))
}

fn loose(standing: &FileOwnership) -> Option<Complaint> {
    const OTHERS_WRITE: u32 = 0o022;
    let mode = standing.access.mode;
    let expected = format!("a {} that only its owner can write", noun(standing.kind));
    let bad = Bad::found_at(&None, expected, format!("mode {mode:04o}")).help("chmod go-w");
    (mode & OTHERS_WRITE != 0).then(|| Complaint::about_file(&standing.name, bad))
}

/// Warns of what `me`, who is neither root nor a service, may own if only he reads it.
pub(crate) fn refused_by_services(all: &[FileOwnership], me: u32) -> Vec<Complaint> {
    let warning = |standing: &FileOwnership| {
        let expected = format!("a {} owned by root", noun(standing.kind));
        let bad = Bad::found_at(&None, expected, format!("owner {me}, who is you"));
        let bad = bad.help("chown root; who reads it as a service refuses it otherwise");
        Complaint { severity: Severity::Warning, ..Complaint::about_file(&standing.name, bad) }
    };
    all.iter().filter(|standing| me != 0 && standing.access.owner == me).map(warning).collect()
}

/// Files that `service` can't read and folders that it can't search. Where there is an ACL the mode does not tell.
pub(crate) fn closed_to(all: &[FileOwnership], service: ServiceUser) -> Vec<Complaint> {
    let complaint =
        |s: &FileOwnership| Some(Complaint::about_file(&s.name, closed(s.kind, s.access, service, &s.name)?));
    all.iter().filter(|s| !s.acl).filter_map(complaint).collect()
}

/// Why the service user can't use a file or folder, if so.
pub(super) fn closed(kind: Kind, access: Access, service: ServiceUser, path: &str) -> Option<Bad> {
    let (wanted, verb, mode) = match kind {
        Kind::File => (0o4, "read", "0640"),
        Kind::Folder => (0o1, "search", "0750"),
        Kind::DropIns => (0o5, "list and search", "0750"),
    };
    let expected = format!("a {} that the user {SERVICE_USER} can {verb}", noun(kind));
    let found = format!("mode {:04o} and owner {}", access.mode, owner_in_words(access.owner));
    let bad = Bad::found_at(&None, expected, found).help(given_to_the_service(path, mode));
    (!access.lets(service, wanted)).then_some(bad)
}

/// The one command that sets owner, group and mode of what the service user reads and no other user does. Root pastes
/// it into a shell, so the path is one word there, whatever is in it; one that can't be seen whole is not given.
pub(super) fn given_to_the_service(path: &str, mode: &str) -> String {
    if path.chars().any(is_unseen) {
        return format!("its owner is to be root, its group {SERVICE_USER}, its mode {mode}");
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%=".contains(c);
    let word = if path.chars().all(is_plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) };
    format!("chown root:{SERVICE_USER} {word} && chmod {mode} {word}")
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Folder | Kind::DropIns => "folder",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: ServiceUser = ServiceUser { uid: 900, gid: 901 };

    fn standing(kind: Kind, owner: u32, group: u32, mode: u32) -> FileOwnership {
        FileOwnership { name: "/etc/x".into(), kind, access: Access { owner, group, mode }, acl: false }
    }

    #[test]
    fn only_root_and_oneself_may_change_what_is_trusted() {
        let words = |kind, owner, mode, me| {
            let found = others_may_write(&[standing(kind, owner, 0, mode)], me);
            found.iter().map(|c| format!("{} / {}", c.expected, c.found)).collect::<Vec<_>>()
        };
        assert!(words(Kind::File, 0, 0o644, 0).is_empty());
        assert!(words(Kind::File, 0, 0o644, 1_000).is_empty());
        assert!(words(Kind::Folder, 1_000, 0o700, 1_000).is_empty());
        assert_eq!(words(Kind::File, 900, 0o600, 0), ["a file owned by root / owner 900"]);
        assert_eq!(words(Kind::File, 900, 0o600, 7), ["a file owned by root or by uid 7 / owner 900"]);
        assert_eq!(words(Kind::DropIns, 0, 0o775, 0), ["a folder that only its owner can write / mode 0775"]);
        assert_eq!(words(Kind::Folder, 0, 0o1777, 0), ["a folder that only its owner can write / mode 1777"]);
        assert_eq!(words(Kind::File, 900, 0o666, 0).len(), 2);
    }

    #[test]
    fn what_only_oneself_would_take_is_warned_of() {
        let all = [standing(Kind::File, 0, 0, 0o644), standing(Kind::Folder, 1_000, 0, 0o755)];
        let said: Vec<_> = refused_by_services(&all, 1_000).iter().map(ToString::to_string).collect();
        let expected = "warning: expected a folder owned by root, found owner 1000, who is you\n  --> /etc/x\n   = help: \
                        chown root; who reads it as a service refuses it otherwise\n";
        assert_eq!(said, [expected]);
    }

    #[test]
    fn the_first_class_that_fits_decides_what_the_service_user_can() {
        let can = |kind, owner, group, mode| closed_to(&[standing(kind, owner, group, mode)], SERVICE).is_empty();
        for (owner, group, mode, readable) in [
            (0, 0, 0o644, true),
            (0, 0, 0o640, false),
            (0, 901, 0o640, true),
            (0, 901, 0o604, false),
            (900, 0, 0o400, true),
            (900, 901, 0o044, false),
            (901, 900, 0o660, false),
        ] {
            assert_eq!(can(Kind::File, owner, group, mode), readable, "{owner} {group} {mode:04o}");
        }
        assert!(can(Kind::Folder, 0, 0, 0o711) && !can(Kind::Folder, 0, 0, 0o744));
        assert!(can(Kind::DropIns, 0, 901, 0o750) && !can(Kind::DropIns, 0, 0, 0o711));
        let with_acl = FileOwnership { acl: true, ..standing(Kind::File, 0, 0, 0o600) };
        assert!(closed_to(&[with_acl], SERVICE).is_empty());
    }

    #[test]
    fn the_command_has_the_path_as_one_word() {
        let command = |path| given_to_the_service(path, "0640");
        assert_eq!(command("/etc/a@b"), "chown root:privatelinkd /etc/a@b && chmod 0640 /etc/a@b");
        assert_eq!(command("/a $(x)'y"), r"chown root:privatelinkd '/a $(x)'\''y' && chmod 0640 '/a $(x)'\''y'");
        assert!(!command("/a\u{202e}b").contains("chown"));
    }

    #[test]
    fn the_complaint_says_what_to_do() {
        let [complaint] = closed_to(&[standing(Kind::File, 0, 0, 0o600)], SERVICE).try_into().unwrap();
        let expected = "error: expected a file that the user privatelinkd can read, found mode 0600 and owner root\n  \
                        --> /etc/x\n   = help: chown root:privatelinkd /etc/x && chmod 0640 /etc/x\n";
        assert_eq!(complaint.to_string(), expected);
    }
}
