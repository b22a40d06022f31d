"""Builds every small fault into a copy of the agent, each behind a switch: `mutate.py FAULTS TREE`.

The environment variable PRIVATELINKD_FAULT names the fault that is on. One build serves for all of them. Prints the
names, one a line.
"""

import sys
from pathlib import Path

SWITCH = '''
/// Whether this small fault is on: in this copy of the source only.
pub fn fault(name: &str) -> bool {
    static ON: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    ON.get_or_init(|| std::env::var("PRIVATELINKD_FAULT").ok()).as_deref() == Some(name)
}
'''


def faults(text):
    """Name, file, expression and what becomes of it, of each paragraph."""
    for paragraph in text.split("\n\n"):
        lines = [line for line in paragraph.splitlines() if line and not line.startswith("#")]
        if not lines:
            continue
        if len(lines) != 4:
            sys.exit(f"expected four lines, found {lines}")
        yield lines


def mutated(name, right, wrong):
    """The expression, or the arm of a match, with its fault."""
    arm = " => "
    if arm in right:
        pattern, value = right.rsplit(arm, 1)
        return f"{pattern}{arm}{mutated(name, value, wrong.rsplit(arm, 1)[1])}"
    return f'(if crate::fault("{name}") {{ {wrong} }} else {{ {right} }})'


def main():
    """Edits the tree."""
    listed, tree = Path(sys.argv[1]), Path(sys.argv[2])
    for name, file, right, wrong in faults(listed.read_text(encoding="utf-8")):
        path = tree / file
        text = path.read_text(encoding="utf-8")
        if text.count(right) != 1:
            sys.exit(f"{name}: expected {right!r} once in {file}, found it {text.count(right)} times")
        path.write_text(text.replace(right, mutated(name, right, wrong)), encoding="utf-8")
        print(name)
    with open(tree / "src/lib.rs", "a", encoding="utf-8") as lib:
        lib.write(SWITCH)


main()
