"""What the official SDK finds in the stand-in cloud: `checks.py SIM_JSON CA_PEM`."""

import asyncio
import logging
import sys
import traceback

import errors
import identities
import lists
from standin import Standin

SCENES = [lists.SCENES, identities.SCENES, errors.SCENES]


def main():
    # The SDK logs what the checks expect.
    logging.disable(logging.CRITICAL)
    standin = Standin(sys.argv[1], sys.argv[2])
    passed = failed = 0
    for title, scene in [pair for scenes in SCENES for pair in scenes]:
        try:
            standin.reset()
            result = scene(standin)
            if asyncio.iscoroutine(result):
                asyncio.run(result)
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
