"""Says where two builds differ first: difference.py ONE OTHER, both packages, programs or texts."""
import os
import subprocess
import sys
import tempfile


def unpack(package, into):
    """The files of a package, and what it tells of them and of itself, as files."""
    if package.endswith(".deb"):
        subprocess.run(["dpkg-deb", "--raw-extract", package, f"{into}/files"], check=True)
        listed = subprocess.run(["dpkg-deb", "--contents", package], stdout=subprocess.PIPE, check=True).stdout
    else:
        os.mkdir(f"{into}/files")
        with subprocess.Popen(["rpm2cpio", package], stdout=subprocess.PIPE) as files:
            subprocess.run(["cpio", "--quiet", "--extract", "--make-directories"], stdin=files.stdout,
                           cwd=f"{into}/files", check=True)
        listed = subprocess.run(["rpm", "--query", "--nosignature", "--package", "--dump", "--scripts", "--requires",
                                 "--provides", "--info", package], stdout=subprocess.PIPE, check=True).stdout
    with open(f"{into}/what it tells", "wb") as file:
        file.write(listed)


def section(data, at):
    """The section of an ELF program that a byte is in."""
    def number(where, size):
        return int.from_bytes(data[where:where + size], "little")

    table, size, count, names = number(0x28, 8), number(0x3a, 2), number(0x3c, 2), number(0x3e, 2)
    names_at = number(table + size * names + 0x18, 8)
    for header in (table + size * index for index in range(count)):
        begin, length, kind = number(header + 0x18, 8), number(header + 0x20, 8), number(header + 4, 4)
        # What has no bytes in the file is of kind 8.
        if kind != 8 and begin <= at < begin + length:
            name_at = names_at + number(header, 4)
            return data[name_at:data.index(0, name_at)].decode()
    return "that is none (headers)"


def compare_files(one, other, name):
    with open(one, "rb") as file:
        left = file.read()
    with open(other, "rb") as file:
        right = file.read()
    if left == right:
        return None
    at = next((at for at, (a, b) in enumerate(zip(left, right)) if a != b), min(len(left), len(right)))
    where = f"{name} differs first at byte {at} (sizes {len(left)} and {len(right)})"
    if b"\0" in left:
        if left[:5] == b"\x7fELF\x02" and len(left) > at:
            where += f", section {section(left, at)}"
        return f"{where}: {left[at:at + 32]!r} and {right[at:at + 32]!r}"
    line = left.count(b"\n", 0, at)
    lines = [text.split(b"\n")[line][:200] if text.count(b"\n") >= line else b"" for text in (left, right)]
    return f"{where}, line {line + 1}: {lines[0]!r} and {lines[1]!r}"


def compare_folders(one, other):
    names = {os.path.relpath(os.path.join(folder, name), top)
             for top in (one, other) for folder, _, files in os.walk(top) for name in files}
    for name in sorted(names):
        pair = [os.path.join(top, name) for top in (one, other)]
        if not all(map(os.path.lexists, pair)):
            yield f"{name} is in one alone, so they differ"
        elif difference := compare_files(*pair, name):
            yield difference


def main():
    one, other = sys.argv[1:]
    name = os.path.basename(one)
    print(compare_files(one, other, name) or f"{name} does not differ")
    if not name.endswith((".deb", ".rpm")):
        return
    with tempfile.TemporaryDirectory() as folder:
        for place, package in (("one", one), ("other", other)):
            os.mkdir(f"{folder}/{place}")
            try:
                unpack(package, f"{folder}/{place}")
            except subprocess.CalledProcessError as error:
                print(f"{name}: the {place} can't be unpacked: {error}")
                return
        differences = list(compare_folders(f"{folder}/one", f"{folder}/other"))
        print("\n".join(differences) or f"{name}: no file in it differs, nor what it tells: it is how they are packed")


if __name__ == "__main__":
    main()
