"""Looks every name up again and again; notes each lookup that finds nothing, and how many there were."""

import os
import socket
import sys
import time

FOLDER = "/run/watcher"
names = sys.argv[1:]
looks = 0
while True:
    for name in names:
        try:
            socket.gethostbyname(name)
        except OSError as error:
            with open(f"{FOLDER}/misses", "a", encoding="utf-8") as misses:
                print(time.strftime("%T"), name, error, file=misses)
    looks += 1
    with open(f"{FOLDER}/looks.part", "w", encoding="utf-8") as file:
        file.write(str(looks))
    os.rename(f"{FOLDER}/looks.part", f"{FOLDER}/looks")
    time.sleep(0.05)
