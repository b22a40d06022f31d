"""The table: of what was measured, and as the documents have it."""

import re

HEAD = ("what is done to zone a", "kinds", "verdict", "the name",
        "fault to verdict, s", "first failure to verdict, s", "verdict to hosts file, ms", "fault to hosts file, s", "end to back, s", "bad attempts")
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
# With times, and without.
TIMES, PAGE = "tests/e2e/faults.d/README.md", "packaging/man/privatelinkd-operations.7"
DOCUMENTS = TIMES, PAGE
PAGE_BEGIN, PAGE_END = '.\\" faults: begin\n', '.\\" faults: end\n'


def fate(row):
    if row.where == "cut" and row.moves:
        return "stays, `local_fault_held`, and leaves zone a afterwards"
    if row.where == "cut":
        return "stays, `local_fault_held`, and so it does afterwards"
    if row.start == "again":
        return "leaves zone a, and keeps off it through the second start"
    if row.where == "both":
        return "stays, `all_down_kept`, and so it does afterwards"
    if row.word:
        return "stays, and zone a is said to be slow (`target_slow`)"
    return "leaves zone a" if row.moves else "stays"


def groups(rows):
    """Rows that tell the same, kind beside kind."""
    found = {}
    for row in rows:
        found.setdefault((row.fault, row.verdict, fate(row)), []).append(row)
    return found


def cells(group):
    (fault, verdict, what), rows = group
    return fault, ", ".join(row.kind for row in rows), verdict, what


def span(values, scale=1.0, digits=1):
    # What follows within milliseconds may be seen before what it follows from.
    values = [max(value * scale, 0.0) for value in values if value is not None]
    if not values:
        return "–"
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def since(later, earlier):
    return None if later is None or earlier is None else later - earlier


def lines(courses):
    """The table of a run."""
    by_row = {course.row.number: course for course in courses}
    yield "| " + " | ".join(HEAD) + " |"
    yield "|" + "---|" * len(HEAD)
    for group in groups([course.row for course in courses]).items():
        of = [by_row[row.number] for row in group[1]]
        # What a cut host does afterwards has no verdict of its own.
        moves = group[1][0].moves and group[1][0].where != "cut"
        # Who has never worked is left before the verdict.
        waits = moves and not group[1][0].start
        times = (
            span(since(c.down, c.began) for c in of),
            span(since(c.down, c.edge) for c in of),
            span((since(c.left, c.down) for c in of), 1000, 0) if waits else "–",
            span(since(c.left, c.began) for c in of) if moves else "–",
            span(since(c.back, c.over) for c in of) if moves else "–",
            span((c.bad for c in of), digits=0),
        )
        yield "| " + " | ".join((*cells(group), *times)) + " |"


def told_in_markdown(text):
    inside = text.partition(BEGIN)[2].partition(END)[0]
    return [tuple(cell.strip() for cell in line.strip("|").split("|"))[:4] for line in inside.strip().splitlines()[2:]]


def told_in_page(text):
    """An item a row: its tag is the fault, its text the other cells."""
    inside = text.partition(PAGE_BEGIN)[2].partition(PAGE_END)[0]
    # Verdicts are bold.
    items = re.sub(r"\\f[BR]", "`", inside).split(".TP\n")[1:]
    found = []
    for item in items:
        tag, *lines = item.splitlines()
        found.append((tag.removeprefix(".B "), *" ".join(lines).split(" | ")))
    return found


def differences(document, rows):
    """How the table of a document differs in what it says of kinds, faults, verdicts and names."""
    with open(document, encoding="utf-8") as file:
        text = file.read()
    told = told_in_page(text) if document == PAGE else told_in_markdown(text)
    expected = [cells(group) for group in groups(rows).items()]
    return [f"not in {document}: {row}" for row in expected if row not in told] + \
        [f"only in {document}: {row}" for row in told if row not in expected]
