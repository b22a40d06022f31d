"""Holds a bill of materials to the schema of CycloneDX 1.5, as its standard library has it: schema.py BILL."""
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

with open(sys.argv[1], encoding="utf-8") as file:
    wrong = JsonStrictValidator(SchemaVersion.V1_5).validate_str(file.read())
sys.exit(str(wrong)[:500] if wrong else 0)
