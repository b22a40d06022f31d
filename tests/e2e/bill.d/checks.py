"""Checks of a bill of materials: checks.py CHECK BILL SECTION PROGRAM [OTHER].

Exit code 0: it holds; else it says what does not.
"""
import json
import re
import sys
import tomllib

# What only our tests use, what only runs at compile time, and what only other systems have.
FOREIGN = {"privatelink-sim", "proptest", "rcgen", "syn", "proc-macro2", "quote", "cc", "serde_derive", "tokio-macros",
           "windows-sys", "windows-link", "security-framework"}
# The public places of crates in the program: .../registry/src/INDEX/NAME-VERSION/FILE.
TRACE = re.compile(rb"/registry/src/[^/\0]+/([A-Za-z0-9_-]+?)-(\d+\.\d+\.\d+[A-Za-z0-9.+-]*)/")


def crates_of(bill):
    """The crates of the registry: rust-std is from none."""
    return {(one["name"], one["version"]) for one in bill["components"] if one["purl"].startswith("pkg:cargo/")}


def whole(bill, _section, _program):
    """The parts that the standard asks for, references that lead somewhere, and sums that Cargo.lock has."""
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.5", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"]), bill["serialNumber"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", bill["metadata"]["timestamp"]), bill["metadata"]["timestamp"]
    references = {one["bom-ref"] for one in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    assert len(references) == len(bill["components"]) + 1, "a reference is there twice"
    assert {one["ref"] for one in bill["dependencies"]} == references
    reached, todo = set(), [bill["metadata"]["component"]["bom-ref"]]
    below = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    while todo:
        one = todo.pop()
        if one not in reached:
            reached.add(one)
            todo.extend(below[one])
    assert reached == references, f"nobody depends on {references - reached}"
    with open("Cargo.lock", "rb") as file:
        sums = {(one["name"], one["version"]): one.get("checksum") for one in tomllib.load(file)["package"]}
    for one in bill["components"]:
        assert one["licenses"][0]["expression"], f"no licence: {one['name']}"
        if one["purl"].startswith("pkg:cargo/"):
            assert one["hashes"] == [{"alg": "SHA-256", "content": sums.get((one["name"], one["version"]))}], one["name"]


def same_crates(bill, section, _program):
    """What the section has without a mark is what the bill has; one root; no crate depends on itself by others."""
    packages = section["packages"]
    roots = [one["name"] for one in packages if one.get("root")]
    assert roots == ["privatelinkd"], roots
    runtime = {(one["name"], one["version"]) for one in packages if one.get("kind", "runtime") == "runtime"}
    root = bill["metadata"]["component"]
    assert runtime == crates_of(bill) | {(root["name"], root["version"])}, runtime ^ crates_of(bill)
    done, doing = set(), set()

    def visit(place):
        assert place not in doing, f"a circle: {packages[place]['name']}"
        if place not in done:
            doing.add(place)
            for child in packages[place].get("dependencies", []):
                visit(child)
            doing.discard(place)
            done.add(place)

    for place in range(len(packages)):
        visit(place)


def traces(bill, _section, program):
    """Names of source files are in the program: panics tell them. Their crates are in the bill."""
    with open(program, "rb") as file:
        found = {(name.decode(), version.decode()) for name, version in TRACE.findall(file.read())}
    assert len(found) > 20, f"traces of only {len(found)} crates"
    assert found <= crates_of(bill), f"in the program, not in the bill: {sorted(found - crates_of(bill))}"


def only_linked(bill, _section, _program):
    """Those named above are not in it."""
    wrong = FOREIGN & {name for name, _ in crates_of(bill)}
    assert not wrong, sorted(wrong)


def same_section(_bill, section, _program, other):
    """Another reader of the section says the same."""
    def told(packages):
        return [(one["name"], one["version"], one["source"], one.get("kind", "runtime"),
                 sorted(one.get("dependencies", [])), one.get("root", False)) for one in packages]

    assert told(section["packages"]) == told(other["packages"])


def covered(_bill, section, _program, other):
    """cargo-auditable has all that we have and, by what it asks, also what is not used: that is told, not wrong."""
    ours = {(one["name"], one["version"]) for one in section["packages"]}
    theirs = {(one["name"], one["version"]) for one in other["packages"]}
    assert ours <= theirs, f"only ours: {sorted(ours - theirs)}"
    print(f"{len(ours)} crates in ours; beyond these in theirs:", *sorted(name for name, _ in theirs - ours))


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main():
    check, bill, section, program, *others = sys.argv[1:]
    try:
        globals()[check](load(bill), load(section), program, *map(load, others))
    except AssertionError as wrong:
        sys.exit(f"{check}: {wrong}")


if __name__ == "__main__":
    main()
