"""Holds the units to the list of directives: each has its row, no row is idle, and what came after systemd 239 is
marked with its version, in the units by a comment above it that begins with the number, in drop-ins by `systemd N`.
Prints "ok" or "FAILED" for each file."""

import pathlib
import re
import sys

OLDEST = 239
HERE = pathlib.Path(__file__).resolve().parent
UNITS = HERE.parent.parent.parent / "systemd"


def rows():
    """{directive or directive=value: version}, 0 for what is old."""
    found = {}
    for line in (HERE / "directives").read_text().splitlines():
        if line and not line.startswith("#"):
            version, name = line.split()
            found[name] = 0 if version == "old" else int(version)
    return found


def directives(text):
    """(directive, value, the lines of comment right above it) of each line that sets something or shows how, commented out."""
    above = []
    for line in text.splitlines():
        setting = re.match(r"#?([A-Za-z]+)=(.*)", line)
        if setting:
            yield setting[1], setting[2], above
            above = []
        elif line.startswith("#"):
            above.append(line.lstrip("# "))
        else:
            above = []


def version_of(known, name, value):
    """The version that a setting needs, None if it has no row, and the rows that it used."""
    used = [f"{name}="] if f"{name}=" in known else []
    used += [f"{name}={word}" for word in value.lstrip("~").split() if f"{name}={word}" in known]
    return (max(known[row] for row in used) if f"{name}=" in used else None), used


def complaints(path, known, used):
    text = path.read_text()
    for name, value, above in directives(text):
        version, by = version_of(known, name, value)
        used.update(by)
        if version is None:
            yield f"{name}= has no row in portable.d/directives"
        elif path.suffix == ".conf":
            if version > OLDEST and f"systemd {version}" not in text:
                yield f"{name}={value} came with systemd {version}, and no comment says so"
        else:
            marked = [found[1] for found in (re.match(r"([0-9]{3})(?:\.|$)", line) for line in above) if found]
            expected = [str(version)] if version > OLDEST else []
            if marked != expected:
                yield f"{name}={value}: expected the mark {expected}, found {marked}"


def main():
    known, used, failed = rows(), set(), False
    # A list that holds nothing would pass.
    files = sorted(path for path in UNITS.rglob("*") if path.suffix in (".service", ".path", ".socket", ".conf"))
    assert len(files) >= 6 and len(known) >= 60, (files, known)
    for path in files:
        wrong = list(complaints(path, known, used))
        failed = failed or bool(wrong)
        print("FAILED" if wrong else "ok", f"directives of {path.relative_to(UNITS)} are listed, late ones marked")
        for line in wrong:
            print("       ", line)
    idle = sorted(set(known) - used)
    print("FAILED" if idle else "ok", "every row of the list is of a directive that some unit has", *idle)
    return 1 if failed or idle else 0


sys.exit(main())
