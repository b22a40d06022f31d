"""The table, and what is held against the aims."""

from steerers import OURS

# Where the table is told.
DOCUMENT = "tests/e2e/rivals.d/README.md"
BEGIN, END = "<!-- rivals: begin -->", "<!-- rivals: end -->"
# Our defaults: of every kind.
BACK, FLAPPING = 15.0, 5.0
# What a busy machine may cost a client: a second of attempts. See the scene in which nothing is done.
NOISE = 1.0


def number(value):
    return "–" if value is None else f"{value:.1f}"


def cell(of):
    text = f"{of.bad:.1f} / {number(of.back)}"
    # Only what is worth a word.
    if of.clean > of.bad + 2:
        text += f", last bad {of.clean:.1f}"
    if of.dead:
        text += f", {of.dead} onto a dead one"
    if of.needless:
        text += f", {of.needless} needless"
    return text


def table(found, steerers):
    """`found` is {place: {steerer: Figures}}, in order."""
    yield "| what is done | kind | " + " | ".join(steerers) + " |"
    yield "|" + "---|" * (2 + len(steerers))
    for place, of in found.items():
        yield f"| {place.scene.title} | {place.kind} | " + " | ".join(cell(of[label]) for label in steerers) + " |"


def differences(places):
    """Which rows the table of the document lacks or has too many of."""
    with open(DOCUMENT, encoding="utf-8") as file:
        inside = file.read().partition(BEGIN)[2].partition(END)[0]
    told = [tuple(cell.strip() for cell in line.strip("|").split("|"))[:2] for line in inside.strip().splitlines()[2:]]
    expected = [(place.scene.title, place.kind) for place in places]
    return [f"not in {DOCUMENT}: {row}" for row in expected if row not in told] + \
        [f"only in {DOCUMENT}: {row}" for row in told if row not in expected]


def aims(found):
    """(met or not, what) a scene, kind and agent of ours, at the defaults where a number depends on them."""
    for place, of in found.items():
        what, default = f"{place.kind}, {place.scene.title}", of[OURS[0]]
        for aim in place.scene.aims:
            if aim == "back":
                yield default.back is not None and default.back <= BACK, \
                    f"{what}: back within {BACK:.0f} s at our defaults: {number(default.back)} s"
            elif aim == "flapping":
                yield default.bad <= FLAPPING, \
                    f"{what}: bad for no more than {FLAPPING:.0f} s at our defaults: {default.bad:.1f} s"
            else:
                for label in OURS:
                    yield one_of(aim, of[label], f"{what}, {label}")


def one_of(aim, of, what):
    if aim == "dead":
        return of.dead == 0, f"{what}: no move onto a dead address: {of.dead}"
    if aim == "alive":
        return of.bad <= NOISE and not of.needless, \
            f"{what}: the name goes on leading to what works: {of.bad:.1f} s bad, {of.needless} moves"
    if aim == "still":
        return not of.needless and not of.dead, f"{what}: the name stays: {of.needless + of.dead} moves"
    return of.bad <= NOISE and not of.needless, f"{what}: nothing happens: {of.bad:.1f} s bad, {of.needless} moves"


def beside(found, against="HAProxy", interval=5.0):
    """No aim: bad seconds beside a tuned HAProxy's and what a longer interval costs."""
    for place, of in found.items():
        if "back" in place.scene.aims:
            ours, other = of[OURS[0]].bad, of[against].bad
            word = "no more than" if ours <= other + interval + NOISE else "more than"
            yield (f"{place.kind}, {place.scene.title}: bad {ours:.1f} s, {against} {other:.1f} s: {word} that and "
                   f"our interval of {interval:.0f} s")
