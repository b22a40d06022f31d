"""What a service may do, tried from inside its unit. Prints a line for each thing that is allowed and must not be
("ALLOWED …") or refused and must not be ("REFUSED …"), and a closing count. Then tells systemd that it is ready and
waits to be stopped.

rights.py agent|writer
"""

import ctypes
import errno
import mmap
import os
import signal
import socket
import stat
import sys

ROLE = sys.argv[1]
OWN = {
    "agent": ["/run/privatelinkd", "/var/lib/privatelinkd"],
    "writer": ["/run/privatelinkd-hosts", "/var/lib/privatelinkd-hosts", "/etc"],
}[ROLE]
# Private to the unit: what is written there is nowhere else (that is tried from outside), and goes with it.
PRIVATE = ["/tmp", "/var/tmp"]
# Of /etc, which the writer has to have: what would raise rights or run code if it were changed.
CLOSED = """passwd shadow gshadow group pam.d security systemd cron.d cron.daily init.d profile profile.d bash.bashrc
default ld.so.conf ld.so.conf.d ld.so.cache apt dpkg alternatives privatelinkd privatelinkd/config.toml
privatelinkd/conf.d skel logrotate.d selinux fstab nsswitch.conf login.defs environment rc3.d rcS.d update-motd.d xdg opt
kernel inputrc adduser.conf debconf.conf terminfo gss perl credstore""".split()
LIBC = ctypes.CDLL(None, use_errno=True)

done, wrong = 0, 0


def refused(what, attempt, vain=(errno.ENOENT, errno.ENOSYS, errno.EINVAL, errno.EFAULT, errno.EBADF)):
    """The attempt must fail, and not in vain: because there is nothing there, or the question was wrong."""
    global done, wrong
    done += 1
    try:
        attempt()
    except OSError as error:
        if error.errno in vain:
            wrong += 1
            print(f"ALLOWED up to {error}: {what}")
        return
    except BaseException as error:  # noqa: BLE001: the list must go on.
        wrong += 1
        print(f"BROKEN {what}: {error!r}")
        return
    wrong += 1
    print(f"ALLOWED {what}")


def allowed(what, attempt):
    global done, wrong
    done += 1
    try:
        attempt()
    except OSError as error:
        wrong += 1
        print(f"REFUSED {what}: {error}")


def call(name, *arguments):
    """A function of the C library; its failure as an OSError."""
    ctypes.set_errno(0)
    if getattr(LIBC, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def syscall(number, *arguments):
    call("syscall", number, *arguments)


def create(folder):
    path = os.path.join(folder, f".rights-{os.getpid()}")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.unlink(path)


def append(path):
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND))


def within(path, folders):
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def every_folder():
    """Every folder there is: nothing can be put there."""
    for folder, below, _ in os.walk("/"):
        below[:] = [b for b in below if not within(os.path.join(folder, b), OWN + PRIVATE + ["/proc"])]
        # It exists, so whatever keeps a file from being made there keeps it (sysfs has answers of its own).
        refused(f"a new file in {folder}", lambda: create(folder), vain=())


def files():
    """Files that exist and count."""
    for path in (
        "/etc/hosts /etc/passwd /etc/machine-id /etc/privatelinkd/config.toml /usr/bin/privatelinkd /usr/bin/python3 "
        "/usr/lib/systemd/system/privatelinkd.service /proc/sys/kernel/hostname /proc/sys/kernel/core_pattern "
        "/proc/sysrq-trigger /proc/self/oom_score_adj /sys/kernel/mm/transparent_hugepage/enabled /dev/kmsg "
        "/run/privatelinkd-hosts/receipt.json /run/privatelinkd/plan.json /run/systemd/private"
    ).split():
        # A process may make itself more likely to be killed; systemd's own socket takes no bytes.
        if path.startswith(tuple(OWN)) or path == "/proc/self/oom_score_adj" or not os.path.lexists(path):
            continue
        refused(f"writing {path}", lambda path=path: append(path))
    if ROLE == "writer":
        for name in CLOSED:
            path = f"/etc/{name}"
            if os.path.isdir(path):
                refused(f"a new file in {path}", lambda path=path: create(path))
            elif os.path.exists(path):
                refused(f"writing {path}", lambda path=path: append(path))
                refused(f"renaming {path}", lambda path=path: os.rename(path, path + ".rights"))


def others():
    """What belongs to others can't be read."""
    refused("reading /etc/shadow", lambda: os.close(os.open("/etc/shadow", os.O_RDONLY)))
    for folder in ("/root", "/home", "/run/user"):
        refused(f"listing {folder}", lambda folder=folder: os.listdir(folder))
    if ROLE == "agent":
        refused("listing the writer's state", lambda: os.listdir("/var/lib/privatelinkd-hosts"))
    else:
        refused("listing the agent's state", lambda: os.listdir("/var/lib/privatelinkd"))


def own_folders():
    for folder in OWN:
        allowed(f"a new file in {folder}", lambda folder=folder: create(folder))


def powers():
    """What only a stronger process may do."""
    folder = OWN[0]
    mine = os.path.join(folder, f".rights-own-{os.getpid()}")
    with open(mine, "wb") as file:
        file.write(b"#!/bin/sh\n")
    try:
        for bits, name in ((stat.S_ISUID, "set-user-id"), (stat.S_ISGID, "set-group-id")):
            refused(f"a {name} bit", lambda bits=bits: os.chmod(mine, 0o755 | bits))
        os.chmod(mine, 0o755)
        refused("running what it wrote", lambda: os.posix_spawn(mine, [mine], {}))
        refused("giving a file away", lambda: os.chown(mine, 1, 1))
    finally:
        os.unlink(mine)
    refused("a device", lambda: os.mknod(os.path.join(folder, ".rights-dev"), 0o600 | stat.S_IFBLK, os.makedev(7, 0)))
    flags = {"MS_REMOUNT|MS_BIND": 32 | 4096, "MS_BIND": 4096}
    for name, flag in flags.items():
        refused(f"mount {name}", lambda flag=flag: call("mount", b"/run", b"/", b"none", flag, None))
    refused("mounting a tmpfs", lambda: call("mount", b"tmpfs", folder.encode(), b"tmpfs", 0, None))
    refused("unmounting", lambda: call("umount2", b"/etc", 2))
    refused("changing the root", lambda: os.chroot("/usr"))
    namespaces = {"mount": 0x20000, "cgroup": 0x2000000, "name": 0x4000000, "IPC": 0x8000000, "user": 0x10000000,
                  "process": 0x20000000, "network": 0x40000000}
    for name, flag in namespaces.items():
        refused(f"a new {name} namespace", lambda flag=flag: call("unshare", flag))
    numbers = {  # x86_64 and aarch64
        "x86_64": {"init_module": 175, "finit_module": 313, "delete_module": 176, "bpf": 321, "perf_event_open": 298,
                   "kexec_load": 246, "reboot": 169, "settimeofday": 164, "swapon": 167, "pivot_root": 155,
                   "open_by_handle_at": 304, "acct": 163},
        "aarch64": {"init_module": 105, "finit_module": 273, "delete_module": 106, "bpf": 280, "perf_event_open": 241,
                    "kexec_load": 104, "reboot": 142, "settimeofday": 170, "swapon": 224, "pivot_root": 41,
                    "open_by_handle_at": 265, "acct": 89},
    }[os.uname().machine]
    for name, number in numbers.items():
        refused(name, lambda number=number: syscall(number, b"", 0, 0, 0, 0))
    refused("naming the host", lambda: socket.sethostname("rights"))
    refused("real-time priority", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))
    refused("a higher priority", lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
    refused("tracing PID 1", lambda: call("ptrace", 16, 1, None, None))
    refused("being traced", lambda: call("ptrace", 0, 0, None, None))
    refused("reading another process's memory", lambda: os.close(os.open("/proc/1/mem", os.O_RDONLY)), vain=())
    refused("a signal to PID 1", lambda: os.kill(1, signal.SIGCONT))
    refused("memory that is writable and can be run",
            lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC))
    refused("another execution domain", lambda: call("personality", 0x0008))
    if os.getuid():
        refused("becoming root", lambda: os.setuid(0))
    else:
        refused("becoming another user", lambda: os.setresuid(1, 1, 1))


def no_capability():
    global done, wrong
    done += 1
    with open("/proc/self/status", encoding="ascii") as file:
        facts = {key: value.strip() for key, _, value in (line.partition(":") for line in file)}
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        if int(facts[key], 16):
            wrong += 1
            print(f"ALLOWED {key} {facts[key]}")
    if facts["NoNewPrivs"] != "1":
        wrong += 1
        print("ALLOWED new privileges")


def servants():
    """Who would do for root what this process may not."""
    for path in ("/run/dbus/system_bus_socket", "/run/systemd/private"):
        with socket.socket(socket.AF_UNIX) as sock:
            refused(f"talking to {path}", lambda path=path, sock=sock: sock.connect(path))


def sockets():
    """Every family that Linux numbers, in every type."""
    admitted = {socket.AF_UNIX} if ROLE == "writer" else {socket.AF_UNIX, socket.AF_INET, socket.AF_INET6}
    for family in range(1, 64):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            if family in admitted and kind != socket.SOCK_RAW:
                continue
            if family == socket.AF_UNIX:
                # For AF_UNIX the kernel takes this for SOCK_DGRAM.
                continue
            refused(f"a socket of family {family}, type {kind}", lambda f=family, k=kind: socket.socket(f, k).close())
    for family in admitted:
        allowed(f"a socket of family {family}", lambda family=family: socket.socket(family, socket.SOCK_STREAM).close())


def ports():
    """Those of other services: with the address of the stub and with every address."""
    if ROLE != "agent":
        return
    for address in ("127.0.0.1", "127.0.0.153", "0.0.0.0"):
        for port in (22, 53, 80, 443, 853):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as sock:
                    refused(f"port {port} of {address}", lambda s=sock, a=address, p=port: s.bind((a, p)))


def etc():
    """What the writer can change in /etc: what isn't closed to it, and what was made since. The docs must list it."""
    if ROLE != "writer":
        return
    is_open = [entry.path for entry in os.scandir("/etc") if os.access(entry.path, os.W_OK)]
    print("OPEN", *sorted(path.removeprefix("/etc/") for path in is_open))


def ready():
    address = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.send(b"READY=1\n")


for room in (every_folder, files, others, own_folders, powers, no_capability, servants, sockets, ports, etc):
    room()
# For those who look from outside whether it is there, too.
for private in PRIVATE:
    with open(f"{private}/rights-was-here", "w", encoding="ascii"):
        pass
print(f"{done} tried, {wrong} wrong", flush=True)
ready()
signal.pause()
