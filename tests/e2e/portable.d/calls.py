"""Which system calls a traced run made, and which of them the list of portable.d/system_calls has."""

import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
# Of Alibaba Cloud Linux 3, Anolis 8 and RHEL 8 the oldest.
OLDEST = (4, 18)


# What came after it, as of Linux 6.12, for strace; a name that it doesn't know (`?`) nobody can call under it.
LACKING = ",".join(f"?{name}" for name in """
    pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig fsmount fspick
    pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2 mount_setattr quotactl_fd
    landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret process_mrelease futex_waitv
    set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount listmount
    lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal
    """.split())
# Calls that do different things by an argument: what it is has a row of its own, such as `prctl:PR_SET_NAME`.
ARGUMENTS = {
    "setsockopt": r"[0-9]+, \w+, (\w+)",
    "getsockopt": r"[0-9]+, \w+, (\w+)",
    "prctl": r"(\w+)",
    "fcntl": r"[0-9]+, (\w+)",
    "ioctl": r"[0-9]+, (\w+)",
    "madvise": r".*, (\w+)(?:\)| <unf)",
}


def number(version):
    return tuple(int(part) for part in version.split("."))


class Row:
    def __init__(self, line):
        name, version, *why = line.split(None, 2)
        self.name, self.version, self.why = name, number(version), " ".join(why)


def rows():
    lines = (HERE / "system_calls").read_text().splitlines()
    return {row.name: row for row in map(Row, (line for line in lines if line and not line.startswith("#")))}


def newer(known):
    """Those that the oldest kernel lacks."""
    return sorted(name for name, row in known.items() if row.version > OLDEST and ":" not in name)


def unlisted(made, known):
    """Of the calls that `made()` found those that have no row, each with the traces that have it."""
    return [f"{name} ({', '.join(sorted(by))})" for name, by in sorted(made.items()) if name not in known]


def made(folder, program):
    """{call or call:argument: the traces that have it} of the files that `strace -f -o` left, from where the program itself begins."""
    found = {}
    for path in sorted(pathlib.Path(folder).glob("*.trace")):
        begun = False
        for line in path.read_text(errors="replace").splitlines():
            call = re.match(r"[0-9]+ +(?:<\.\.\. )?([a-z_0-9]+)(?:\(| resumed)", line)
            begun = begun or f'execve("{program}"' in line
            if not (begun and call):
                continue
            found.setdefault(call[1], set()).add(path.stem)
            argument = re.match(ARGUMENTS.get(call[1], "(?!)"), line[call.end():])
            if argument:
                found.setdefault(f"{call[1]}:{argument[1]}", set()).add(path.stem)
    return found
