"""The set-ups: what is in the environment, in a home directory and in the cloud, and who is to answer.

`answers` is the provider that both must find, None if both must say no. Where the two differ, `differs` says why, and
`theirs` and `ours` are what each must find.
"""

import json
from dataclasses import dataclass, field

ACCOUNT = "1234567890123456"
ROLE = f"acs:ram::{ACCOUNT}:role/agent"
SECOND = f"acs:ram::{ACCOUNT}:role/second"
CLOSED = f"acs:ram::{ACCOUNT}:role/closed"
OIDC = f"acs:ram::{ACCOUNT}:oidc-provider/standin"
METADATA = "http://100.100.100.200:80/latest/meta-data"
POLICY = '{"Version":"1","Statement":[{"Effect":"Allow","Action":"privatelink:List*","Resource":"*"}]}'

# Keys that the stand-in knows, so that roles can be taken on with them, and keys that nobody knows.
ID, SECRET = "LTAI5tStandInAgent000001", "standin-secret-of-agent-0001"
CLI, INI, INI_OLD = ".aliyun/config.json", ".alibabacloud/credentials.ini", ".alibabacloud/credentials"

ON = [("POST", "doors", {"metadata": "open"})]
SAME = object()


@dataclass
class Setup:
    title: str
    answers: object = None
    env: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    modes: dict = field(default_factory=dict)
    cloud: list = field(default_factory=list)
    key: object = None
    differs: str = ""
    theirs: object = SAME
    ours: object = SAME


def keys(number, token=None):
    found = {"ACCESS_KEY_ID": f"LTAI{number:04}", "ACCESS_KEY_SECRET": f"secret-{number}"}
    return {**found, "SECURITY_TOKEN": token} if token is not None else found


def oidc(**more):
    return {"ROLE_ARN": ROLE, "OIDC_PROVIDER_ARN": OIDC, "OIDC_TOKEN_FILE": "@HOME@/token", **more}


TOKEN = {"token": "standin.oidc.token"}


def cli(*profiles, current="p"):
    """The command line tool's file. A profile without a name is called p."""
    found = [{"name": "p", **profile} for profile in profiles]
    whole = {"profiles": found} if current is None else {"current": current, "profiles": found}
    return {CLI: json.dumps(whole)}


def ak(number, **more):
    return {"mode": "AK", "access_key_id": f"LTAI{number:04}", "access_key_secret": f"secret-{number}", **more}


REAL = {"access_key_id": ID, "access_key_secret": SECRET}


def ini(text, path=INI):
    return {path: text}


def section(kind, name="default", **lines):
    return f"[{name}]\ntype = {kind}\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())


def ini_ak(number, name="default"):
    return section("access_key", name, access_key_id=f"LTAI{number:04}", access_key_secret=f"secret-{number}")


TEMPORARY = {"AccessKeyId": "STS.made", "AccessKeySecret": "s", "SecurityToken": "t", "Expiration": "2099-01-01T00:00:00Z"}


def answer(path, body):
    return ON + [("POST", "host", {"metadata": {path: body}})]


SETUPS = [
    # The environment.
    Setup("nothing at all"),
    Setup("env: a key", "environment", keys(1), key="LTAI0001"),
    Setup("env: a key with a token", "environment", keys(1, "tok"), key="LTAI0001"),
    Setup("env: a key with an empty token", "environment", keys(1, ""), key="LTAI0001"),
    Setup("env: an id without a secret", None, {"ACCESS_KEY_ID": "LTAI0001"}),
    Setup("env: a secret without an id", None, {"ACCESS_KEY_SECRET": "secret-1"}),
    Setup("env: an empty id", None, {**keys(1), "ACCESS_KEY_ID": ""}),
    Setup("env: an empty secret", None, {**keys(1), "ACCESS_KEY_SECRET": ""}),
    # A service account's role.
    Setup("oidc: all three variables", "oidc_role", oidc(), TOKEN),
    Setup("oidc: with a session name", "oidc_role", oidc(ROLE_SESSION_NAME="pod-1"), TOKEN),
    Setup("oidc: STS of a region", "oidc_role", oidc(STS_REGION="cn-hangzhou"), TOKEN),
    Setup(
        "oidc: STS of a region, inside the VPC",
        "oidc_role",
        oidc(STS_REGION="cn-hangzhou", VPC_ENDPOINT_ENABLED="TRUE"),
        TOKEN,
    ),
    Setup("oidc: no region, inside the VPC", "oidc_role", oidc(VPC_ENDPOINT_ENABLED="true"), TOKEN),
    Setup("oidc: the provider is not set", None, {k: v for k, v in oidc().items() if k != "OIDC_PROVIDER_ARN"}, TOKEN),
    Setup("oidc: an empty role", None, oidc(ROLE_ARN=""), TOKEN),
    Setup("oidc: no token file", None, oidc()),
    Setup("oidc: an expired token", None, oidc(), {"token": "standin.oidc.expired"}),
    Setup("oidc: a role that trusts nobody, then the shared file", "credentials_file", oidc(ROLE_ARN=CLOSED),
          {**TOKEN, **ini(ini_ak(2))}, key="LTAI0002"),
    # The command line tool's file.
    Setup("cli: AK", "cli_config", files=cli(ak(3)), key="LTAI0003"),
    Setup("cli: AK without a secret", None, files=cli({"mode": "AK", "access_key_id": "LTAI0003"})),
    Setup("cli: StsToken", "cli_config", files=cli(ak(3, mode="StsToken", sts_token="tok")), key="LTAI0003"),
    Setup("cli: StsToken that says when it ends", "cli_config",
          files=cli(ak(3, mode="StsToken", sts_token="tok", sts_expiration=4102444800)), key="LTAI0003"),
    Setup("cli: StsToken without a token", None, files=cli(ak(3, mode="StsToken", sts_token=""))),
    Setup("cli: RamRoleArn", "cli_config", files=cli({"mode": "RamRoleArn", **REAL, "ram_role_arn": ROLE})),
    Setup(
        "cli: RamRoleArn with everything",
        "cli_config",
        files=cli({"mode": "RamRoleArn", **REAL, "ram_role_arn": ROLE, "ram_session_name": "s1", "expired_seconds": 900,
                   "policy": POLICY, "external_id": "ext", "sts_region": "cn-hangzhou", "enable_vpc": True}),
    ),
    Setup("cli: RamRoleArn, session name and region of the environment", "cli_config",
          {"ROLE_SESSION_NAME": "of-env", "STS_REGION": "cn-hangzhou"},
          cli({"mode": "RamRoleArn", **REAL, "ram_role_arn": ROLE})),
    Setup("cli: RamRoleArn of a session that is too short", None,
          files=cli({"mode": "RamRoleArn", **REAL, "ram_role_arn": ROLE, "expired_seconds": 60})),
    Setup("cli: RamRoleArn that may not be taken on", None,
          files=cli({"mode": "RamRoleArn", **REAL, "ram_role_arn": CLOSED})),
    Setup(
        "cli: ChainableRamRoleArn",
        "cli_config",
        files=cli({"mode": "ChainableRamRoleArn", "source_profile": "base", "ram_role_arn": ROLE},
                  ak(3, name="base", **REAL)),
    ),
    Setup(
        "cli: ChainableRamRoleArn on a RamRoleArn",
        "cli_config",
        files=cli({"mode": "ChainableRamRoleArn", "source_profile": "base", "ram_role_arn": SECOND},
                  {"name": "base", "mode": "RamRoleArn", **REAL, "ram_role_arn": ROLE, "ram_session_name": "below"}),
        cloud=[
            ("POST", "roles/agent", {"policy": {"Statement": [
                {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]}}),
            ("PUT", "roles/second", {"trust": ["acs:ram::*:*agent*"]}),
        ],
    ),
    Setup("cli: ChainableRamRoleArn on the instance's role", None,
          files=cli({"mode": "ChainableRamRoleArn", "source_profile": "base", "ram_role_arn": SECOND},
                    {"name": "base", "mode": "EcsRamRole"})),
    Setup("cli: ChainableRamRoleArn that stands on itself", None,
          files=cli({"mode": "ChainableRamRoleArn", "source_profile": "p", "ram_role_arn": ROLE})),
    Setup("cli: ChainableRamRoleArn on nobody", None,
          files=cli({"mode": "ChainableRamRoleArn", "source_profile": "q", "ram_role_arn": ROLE})),
    Setup("cli: EcsRamRole", "cli_config", files=cli({"mode": "EcsRamRole"}), cloud=ON),
    Setup("cli: EcsRamRole by name", "cli_config", files=cli({"mode": "EcsRamRole", "ram_role_name": "agent"}), cloud=ON),
    Setup("cli: EcsRamRole, the environment names another role", None, {"ECS_METADATA": "other"},
          cli({"mode": "EcsRamRole"}), cloud=ON),
    Setup("cli: EcsRamRole, metadata disabled", None, {"ECS_METADATA_DISABLED": "true"}, cli({"mode": "EcsRamRole"}),
          cloud=ON),
    Setup("cli: OIDC", "cli_config", files={**TOKEN, **cli(
        {"mode": "OIDC", "ram_role_arn": ROLE, "oidc_provider_arn": OIDC, "oidc_token_file": "@HOME@/token",
         "role_session_name": "s2", "expired_seconds": 1200, "policy": POLICY})}),
    Setup("cli: CloudSSO", None, files=cli({"mode": "CloudSSO", "cloud_sso_sign_in_url": "https://x.invalid"})),
    Setup("cli: an unknown mode", None, files=cli({"mode": "Telepathy", **REAL})),
    Setup("cli: damaged JSON, then the shared file", "credentials_file",
          files={CLI: '{"current": "p", "profiles": [', **ini(ini_ak(4))}, key="LTAI0004"),
    Setup("cli: no current profile, then the shared file", "credentials_file",
          files={**cli(ak(3, name="default"), current=None), **ini(ini_ak(4))}, key="LTAI0004"),
    Setup("cli: a current profile that is not there", None, files=cli(ak(3), current="q")),
    Setup("cli: no profiles", None, files={CLI: '{"current": "p", "profiles": []}'}),
    Setup("cli: the variable names the profile", "cli_config", {"PROFILE": "other"}, cli(ak(3), ak(5, name="other")),
          key="LTAI0005"),
    Setup("cli: disabled, then the shared file", "credentials_file", {"CLI_PROFILE_DISABLED": "true"},
          {**cli(ak(3)), **ini(ini_ak(4))}, key="LTAI0004"),
    Setup("cli: disabled in capitals", None, {"CLI_PROFILE_DISABLED": "TRUE"}, cli(ak(3))),
    Setup("cli: \"disabled\" by another word", "cli_config", {"CLI_PROFILE_DISABLED": "1"}, cli(ak(3)), key="LTAI0003"),
    # The shared credentials file.
    Setup("ini: access_key", "credentials_file", files=ini(ini_ak(6)), key="LTAI0006"),
    Setup("ini: access_key with comments and odd spacing", "credentials_file",
          files=ini("# x\n[ignored]\na = b\n[default]\nTYPE=access_key # of mine\naccess_key_id: LTAI0006\n"
                    "access_key_secret =  secret-6\n"), key="LTAI0006"),
    Setup("ini: access_key without a secret", None, files=ini(section("access_key", access_key_id="LTAI0006"))),
    Setup("ini: a profile by the variable", "credentials_file", {"PROFILE": "other"},
          ini(ini_ak(6) + ini_ak(7, "other")), key="LTAI0007"),
    Setup("ini: a profile that is not there", None, {"PROFILE": "third"}, ini(ini_ak(6))),
    Setup("ini: a file by the variable", "credentials_file", {"CREDENTIALS_FILE": "@HOME@/elsewhere"},
          {**ini(ini_ak(6)), **ini(ini_ak(8), "elsewhere")}, key="LTAI0008"),
    Setup("ini: a file by the variable that is not there", None, {"CREDENTIALS_FILE": "@HOME@/nowhere"}, ini(ini_ak(6))),
    Setup("ini: ecs_ram_role", "credentials_file", files=ini(section("ecs_ram_role")), cloud=ON),
    Setup("ini: ecs_ram_role by name", "credentials_file", files=ini(section("ecs_ram_role", role_name="agent")), cloud=ON),
    Setup("ini: ram_role_arn", "credentials_file", files=ini(section(
        "ram_role_arn", access_key_id=ID, access_key_secret=SECRET, role_arn=ROLE, role_session_name="s3",
        policy=POLICY))),
    Setup("ini: oidc_role_arn", "credentials_file", files={**TOKEN, **ini(section(
        "oidc_role_arn", role_arn=ROLE, oidc_provider_arn=OIDC, oidc_token_file_path="@HOME@/token"))}),
    Setup("ini: rsa_key_pair", None, files=ini(section("rsa_key_pair", public_key_id="x", private_key_file="/nowhere"))),
    Setup("ini: an unknown type", None, files=ini(section("bearer", bearer_token="x"))),
    # The role of the instance.
    Setup("ecs: by metadata", "ecs_role", cloud=ON),
    Setup("ecs: the variable names the role", "ecs_role", {"ECS_METADATA": "agent"}, cloud=ON),
    Setup("ecs: the variable names another role", None, {"ECS_METADATA": "other"}, cloud=ON),
    Setup("ecs: disabled", None, {"ECS_METADATA_DISABLED": "True"}, cloud=ON),
    Setup("ecs: no role", None, cloud=ON + [("POST", "host", {"role": None})]),
    Setup("ecs: hardened", "ecs_role", cloud=ON + [("POST", "host", {"tokens": "required"})]),
    Setup("ecs: an instance without tokens", "ecs_role", cloud=ON + [("POST", "host", {"tokens": "unsupported"})]),
    Setup("ecs: without tokens, which is forbidden", None, {"IMDSV1_DISABLED": "true"},
          cloud=ON + [("POST", "host", {"tokens": "unsupported"})]),
    Setup("ecs: hardened, and nothing else allowed", "ecs_role", {"IMDSV1_DISABLED": "true"},
          cloud=ON + [("POST", "host", {"tokens": "required"})]),
    Setup("ecs: credentials that say that they failed", None, cloud=ON + [("POST", "host", {"role_code": "Failed"})]),
    # A URI.
    Setup("uri: answers", "uri", {"CREDENTIALS_URI": f"{METADATA}/ram/security-credentials/agent",
                                  "ECS_METADATA_DISABLED": "true"}, cloud=ON),
    Setup("uri: with a query", "uri", {"CREDENTIALS_URI": f"{METADATA}/x?user=1&a=b", "ECS_METADATA_DISABLED": "true"},
          cloud=answer("x", json.dumps({"Code": "Success", **TEMPORARY})), key="STS.made"),
    Setup("uri: nobody answers", None, {"CREDENTIALS_URI": "http://127.0.0.1:1/"}),
    Setup("uri: 404", None, {"CREDENTIALS_URI": f"{METADATA}/nothing", "ECS_METADATA_DISABLED": "true"}, cloud=ON),
    Setup("uri: no JSON", None, {"CREDENTIALS_URI": f"{METADATA}/x", "ECS_METADATA_DISABLED": "true"},
          cloud=answer("x", "<html>")),
    Setup("uri: without a token", None, {"CREDENTIALS_URI": f"{METADATA}/x", "ECS_METADATA_DISABLED": "true"},
          cloud=answer("x", json.dumps({"Code": "Success", **{k: v for k, v in TEMPORARY.items() if k != "SecurityToken"}}))),
    Setup("uri: without a port", "uri", {"CREDENTIALS_URI": f"{METADATA}/x".replace(":80", ""),
                                         "ECS_METADATA_DISABLED": "true"},
          cloud=answer("x", json.dumps({"Code": "Success", **TEMPORARY})), key="STS.made"),
    # Several at once.
    Setup("all: the environment comes first", "environment", {**keys(1), **oidc()},
          {**TOKEN, **cli(ak(3)), **ini(ini_ak(6))}, cloud=ON, key="LTAI0001"),
    Setup("all: without a key oidc comes first", "oidc_role", oidc(), {**TOKEN, **cli(ak(3)), **ini(ini_ak(6))}, cloud=ON),
    Setup("all: then the command line tool's", "cli_config", files={**cli(ak(3)), **ini(ini_ak(6))}, cloud=ON,
          key="LTAI0003"),
    Setup("all: then the shared file", "credentials_file", files=ini(ini_ak(6)), cloud=ON, key="LTAI0006"),
    Setup("all: then the instance's role", "ecs_role", {"CREDENTIALS_URI": f"{METADATA}/x"},
          cloud=answer("x", json.dumps({"Code": "Success", **TEMPORARY}))),
    Setup("all but the last fail", "uri", {"ACCESS_KEY_ID": "LTAI0001", **oidc(), "ECS_METADATA": "other",
                                          "CREDENTIALS_URI": f"{METADATA}/x"},
          {CLI: "{", **ini(section("bearer"))}, cloud=answer("x", json.dumps({"Code": "Success", **TEMPORARY})),
          key="STS.made"),
    # Where the two differ.
    Setup("differs: both names of the shared file", files={**ini(ini_ak(6)), **ini(ini_ak(9), INI_OLD)},
          differs="the Python library knows credentials.ini alone, the Node library credentials alone; we read either",
          theirs="credentials_file/LTAI0006", ours="credentials_file/LTAI0009"),
    Setup("differs: ini, type sts", files=ini(ini_ak(6).replace("access_key\n", "sts\n", 1) + "security_token = tok\n"),
          differs="the library's reader lacks the type, though it has the word; nothing is lost by reading it",
          theirs=None, ours="credentials_file/LTAI0006"),
    Setup("differs: ini, enable = false", files=ini(ini_ak(6) + "enable = false\n"),
          differs="older libraries skip such a profile, this one has forgotten the key",
          theirs="credentials_file/LTAI0006", ours=None),
    Setup("differs: ini, another profile is damaged", files=ini(ini_ak(6) + "[other]\nnonsense\n"),
          differs="other profiles are none of our business",
          theirs=None, ours="credentials_file/LTAI0006"),
    Setup("differs: ini, [DEFAULT] lends its lines to the others",
          files=ini("[DEFAULT]\naccess_key_secret = secret-6\n" + section("access_key", access_key_id="LTAI0006")),
          differs="a way of Python's parser that no other library has", theirs="credentials_file/LTAI0006", ours=None),
    Setup("differs: ini, a secret with a percent sign", files=ini(ini_ak(6).replace("secret-6", "secret%6")),
          differs="Python's parser takes it for a reference, and fails", theirs=None, ours="credentials_file/LTAI0006"),
    Setup("differs: an empty ALIBABA_CLOUD_PROFILE", env={"PROFILE": ""}, files=ini(ini_ak(6)),
          differs="it looks for a profile without a name in the shared file, but not in the command line tool's",
          theirs=None, ours="credentials_file/LTAI0006"),
    Setup("differs: cli, a mode in another case", files=cli(ak(3, mode="ak")),
          differs="the tool itself takes it", theirs=None, ours="cli_config/LTAI0003"),
    Setup("differs: cli, StsToken past its end",
          files=cli(ak(3, mode="StsToken", sts_token="tok", sts_expiration=1700000000)),
          differs="the library does not look at the end, and uses what the cloud refuses",
          theirs="cli_config/LTAI0003", ours=None),
    Setup("differs: cli, CredentialsURI", files=cli({"mode": "CredentialsURI", "credentials_uri": f"{METADATA}/x"}),
          cloud=answer("x", json.dumps({"Code": "Success", **TEMPORARY})),
          differs="the tool itself knows the mode, the library does not (it goes on to the instance's role)",
          theirs="ecs_role", ours="cli_config/STS.made"),
    Setup("differs: cli, External",
          files={**cli({"mode": "External", "process_command": "cat @HOME@/said"}), "said": json.dumps(ak(3))},
          differs="a daemon runs no command that a file names", theirs="cli_config/LTAI0003", ours=None),
    Setup("differs: cli, half a key in the profile, the other half in the environment",
          env={"ACCESS_KEY_SECRET": "secret-of-another"}, files=cli({"mode": "AK", "access_key_id": "LTAI0003"}),
          differs="halves of two keys make none", theirs="cli_config/LTAI0003", ours=None),
    Setup("differs: cli, RamRoleArn without a role, which the environment names", env={"ROLE_ARN": ROLE},
          files=cli({"mode": "RamRoleArn", **REAL}),
          differs="a profile that names no role is a slip, and the variable is meant for a service account",
          theirs="cli_config", ours=None),
    Setup("differs: a file that everybody can write", files=cli(ak(3)), modes={CLI: 0o666},
          differs="whoever writes it decides which account is asked, and so what names point at",
          theirs="cli_config/LTAI0003", ours=None),
    Setup("differs: oidc, a token with a line break", env=oidc(), files={"token": "standin.oidc.token\n"},
          differs="the library sends the line break along", theirs=None, ours="oidc_role"),
    Setup("differs: uri, no Code in the answer", env={"CREDENTIALS_URI": f"{METADATA}/x", "ECS_METADATA_DISABLED": "true"},
          cloud=answer("x", json.dumps(TEMPORARY)),
          differs="the Python library wants it, the Node library does not look at it", theirs=None, ours="uri/STS.made"),
]
