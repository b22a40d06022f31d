"""Who has keys: the official library and ours, set-up by set-up: `compare.py SIM_JSON CA_PEM OURS`.

Runs in a network namespace in which the addresses of metadata and STS are the stand-in's, and nothing else is reachable.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import traceback
import urllib.error
import urllib.request

import certifi

# The library trusts what certifi names, and nothing else can be told to it.
certifi.where = lambda: sys.argv[2]

# Everything that takes time to load but the library itself, which reads the environment as it is loaded.
import aiofiles  # noqa: E402,F401
import aiohttp  # noqa: E402,F401
import apscheduler.schedulers.background  # noqa: E402,F401
import cryptography.hazmat.primitives.serialization  # noqa: E402,F401
import Tea.core  # noqa: E402,F401
from setups import SAME, SETUPS  # noqa: E402

LABELS = {
    "env": "environment",
    "oidc_role_arn": "oidc_role",
    "cli_profile": "cli_config",
    "profile": "credentials_file",
    "ecs_ram_role": "ecs_role",
    "credential_uri": "uri",
}
# What each calls a session that nobody named.
MADE_UP = re.compile(r"^(credentials-python|privatelinkd)-\d+$")


class Standin:
    def __init__(self, said):
        self.control_at = said["addresses"]["control"]

    def control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.control_at}/control/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.load(reply)

    def set_up(self, changes):
        self.control("POST", "reset", {})
        self.control("POST", "doors", {"metadata": "refused"})
        for method, path, body in changes:
            self.control(method, path, body)

    def calls(self):
        """The calls of STS that succeeded, as far as they should be the same; then they are forgotten."""
        calls = self.control("GET", "calls?service=sts")
        self.control("DELETE", "calls")
        wanted = ["RoleArn", "OIDCProviderArn", "DurationSeconds", "Policy", "ExternalId"]
        found = []
        for call in calls:
            if call["outcome"] == "ok":
                parameters = call["parameters"]
                named = {name: parameters[name] for name in wanted if name in parameters}
                named["RoleSessionName"] = MADE_UP.sub("made up", parameters["RoleSessionName"])
                # Two sessions never have the same key.
                key = "a session's" if (call["key"] or "").startswith("STS.") else call["key"]
                found.append((call["action"], call["host"].removesuffix(":443"), key, named))
        return found

    def session(self, keys):
        """Keys of a session, as what they are good for; others as they are. Made-up keys are no session's."""
        try:
            session = self.control("GET", f"sessions/{keys['id']}")
        except urllib.error.HTTPError:
            return keys
        if (session["secret"], session["token"]) != (keys["secret"], keys["token"]):
            raise AssertionError(f"keys that are not those of session {keys['id']}")
        return {"role": session["role"], "name": MADE_UP.sub("made up", session["name"]), "policy": session["policy"]}


def theirs(environment):
    """The official default chain, in a process of its own, because it reads the environment once."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read)
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 2)
            os.environ.clear()
            os.environ.update(environment)
            os.write(write, json.dumps(official()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        said = file.read()
    os.waitpid(child, 0)
    return json.loads(said)


def official():
    from alibabacloud_credentials.provider import DefaultCredentialsProvider

    try:
        found = DefaultCredentialsProvider().get_credentials()
    except Exception as error:  # However it says no.
        return {"provider": None, "error": str(error)}
    return {
        "provider": LABELS[found.get_provider_name().split("/")[1]],
        "id": found.get_access_key_id(),
        "secret": found.get_access_key_secret(),
        "token": found.get_security_token(),
    }


def ours(environment, resolver):
    command = [sys.argv[3], sys.argv[2], resolver]
    said = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
    return json.loads(said.stdout)


def fits(result, expected):
    """Whether this is the provider, with this key if one is named."""
    if result is None or expected is None:
        return result is None and expected is None
    provider, _, key = expected.partition("/")
    return result[0] == provider and (not key or result[1].get("id") == key)


def make_files(setup, home):
    for path, text in setup.files.items():
        path = os.path.join(home, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("@HOME@", home))
        os.chmod(path, 0o600)
    for path, mode in setup.modes.items():
        os.chmod(os.path.join(home, path), mode)


def check(standin, resolver, setup):
    """What the set-up came to, in a few words; raises if it is not what it should be."""
    with tempfile.TemporaryDirectory() as home:
        make_files(setup, home)
        standin.set_up(setup.cloud)
        environment = {f"ALIBABA_CLOUD_{n}": v.replace("@HOME@", home) for n, v in setup.env.items()}
        environment["HOME"] = home
        environment["PATH"] = os.environ["PATH"]
        standin.calls()
        said = theirs(environment), ours(environment, resolver)
        # The library was first; its calls come before ours.
    calls = standin.calls()
    results = []
    for found in said:
        keys = {name: found.get(name) or None for name in ("id", "secret", "token")}
        results.append(None if found["provider"] is None else (found["provider"], standin.session(keys)))
    return judge(setup, said, results, calls)


def judge(setup, said, results, calls):
    wanted = setup.answers if setup.key is None else f"{setup.answers}/{setup.key}"
    for who, result, told, expected in zip(("official", "ours"), results, said, (setup.theirs, setup.ours)):
        expected = wanted if expected is SAME else expected
        if not fits(result, expected):
            raise AssertionError(f"{who}: expected {expected}, found {result}; it said {told}")
    if setup.differs:
        return setup.differs
    if results[0] != results[1]:
        raise AssertionError(f"official {results[0]}, ours {results[1]}")
    half = len(calls) // 2
    if calls[:half] != calls[half:]:
        raise AssertionError(f"STS was asked {calls[:half]} by the official library, {calls[half:]} by ours")
    return "no keys" if results[0] is None else results[0][0]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        said = json.load(file)
    standin, resolver = Standin(said), said["addresses"]["dns"]
    passed = failed = 0
    for setup in SETUPS:
        try:
            result = check(standin, resolver, setup)
            passed += 1
            print(f"ok      {setup.title}: {result}", flush=True)
        except Exception as error:  # Whatever it is, the other set-ups go on.
            failed += 1
            print(f"FAILED  {setup.title}: {error}", flush=True)
            if not isinstance(error, AssertionError):
                traceback.print_exc(file=sys.stdout)
    differ = sum(1 for setup in SETUPS if setup.differs)
    print(f"{passed} set-ups passed ({differ} of {len(SETUPS)} differ on purpose), {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
