"""What the databases' clients find in the stand-ins: `checks.py FOLDER`, with sim.json and ca.pem in it."""

import sys
import traceback
import warnings

import haproxy
import matrixone
import tdengine
from standin import Standin

SCENES = [
    ("matrixone", 6001, matrixone.SCENES + haproxy.SCENES),
    ("tdengine", 6041, tdengine.SCENES),
]


def main():
    # Some of the clients are older than the Python that runs them.
    warnings.simplefilter("ignore")
    passed = failed = 0
    for kind, port, scenes in SCENES:
        standin = Standin(sys.argv[1], kind, port)
        for title, scene in scenes:
            try:
                standin.reset()
                scene(standin)
                passed += 1
                print(f"ok      {title}", flush=True)
            except Exception as error:  # Whatever it is, the other checks go on.
                failed += 1
                print(f"FAILED  {title}: {type(error).__name__}: {error}", flush=True)
                traceback.print_exc(file=sys.stdout)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
