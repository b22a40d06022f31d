"""Holds traces of the program to the list of system calls: prints those that have no row, or how many there were.

listed.py FOLDER    in which `strace -f -o` left them, as *.trace"""

import sys

import calls
from job import PROGRAM

made = calls.made(sys.argv[1], PROGRAM)
strange = calls.unlisted(made, calls.rows())
if strange or len(made) < 20:
    sys.exit(f"not on the list portable.d/system_calls: {'; '.join(strange) or 'none'}; {len(made)} in all")
print(f"{len(made)}, all listed")
