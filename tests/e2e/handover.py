"""A plan as the agent hands it over to the hosts writer. For tests that stand in for the agent."""

import hashlib
import json
import pathlib

BOOT = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


def of(addresses, reason="healthy", zone_names=()):
    """The bytes for these addresses by name; the digest is that of src/publish/hosts/handover.rs."""
    answers = {name: {"addresses": of_name, "reason": reason} for name, of_name in sorted(addresses.items())}
    zones = {"zone_names": sorted(zone_names)} if zone_names else {}
    digest = hashlib.sha256(compact([answers, [], *zones.values()])).hexdigest()[:32]
    parts = {"format": 1, "boot_id": BOOT, "identity": {}, "digest": digest, "plan": answers, "withdrawn": []}
    return compact({**parts, **zones})


def put(run_dir, content):
    """In one step, as the agent does."""
    new = run_dir / "plan.new"
    new.write_bytes(content)
    new.rename(run_dir / "plan.json")
