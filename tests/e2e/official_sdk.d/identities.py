"""STS and the credentials of an ECS role."""

import os
import tempfile

from alibabacloud_credentials.provider import (
    EcsRamRoleCredentialsProvider,
    OIDCRoleArnCredentialsProvider,
    RamRoleArnCredentialsProvider,
    StaticAKCredentialsProvider,
    URLCredentialsProvider,
)
from alibabacloud_sts20150401 import models
from standin import all_three, equal


def assume(standin):
    """The keys of a session of role agent, made by STS's own client: ACS3."""
    request = models.AssumeRoleRequest(role_arn=standin.role_arn, role_session_name="check", duration_seconds=900)
    made = standin.sts().assume_role(request).body.credentials
    return made.access_key_id, made.access_key_secret, made.security_token


def sts_token(standin):
    keys = assume(standin)
    all_three(standin.privatelink(keys))
    all_three(standin.privatelink(keys, tls=True))
    caller = f"acs:ram::{standin.account}:assumed-role/agent/check"
    equal({call["caller"] for call in standin.calls()}, {caller}, "callers")


def who(standin):
    equal(standin.sts().get_caller_identity().body.identity_type, "RAMUser", "with an access key")
    body = standin.sts(assume(standin)).get_caller_identity().body
    equal((body.identity_type, body.account_id), ("AssumedRoleUser", standin.account), "with a session's")


def narrowed(standin):
    policy = '{"Version":"1","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}'
    request = models.AssumeRoleRequest(role_arn=standin.role_arn, role_session_name="check", policy=policy)
    made = standin.sts().assume_role(request).body.credentials
    keys = (made.access_key_id, made.access_key_secret, made.security_token)
    try:
        all_three(standin.privatelink(keys))
    except Exception as error:
        equal(error.code, "Forbidden.RAM", "the session's own policy")
    else:
        raise AssertionError("the session's policy narrowed nothing")


def ram_role_arn(standin):
    """The credentials library's own AssumeRole: the older RPC signature, always over TLS."""
    provider = RamRoleArnCredentialsProvider(
        credentials_provider=StaticAKCredentialsProvider(access_key_id=standin.key[0], access_key_secret=standin.key[1]),
        role_arn=standin.role_arn,
        role_session_name="check",
        sts_endpoint=standin.at["sts_tls"],
    )
    # It has no setting for an authority of one's own.
    provider._runtime_options["ca"] = standin.ca
    all_three(standin.privatelink(provider=provider))
    (call,) = standin.calls("sts")
    equal((call["action"], call["outcome"]), ("AssumeRole", "ok"), "STS")
    equal(call["parameters"]["SignatureMethod"], "HMAC-SHA1", "signature")


def oidc(standin):
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write("standin.oidc.token")
    provider = OIDCRoleArnCredentialsProvider(
        role_arn=standin.role_arn,
        oidc_provider_arn=standin.oidc_arn,
        oidc_token_file_path=file.name,
        role_session_name="check",
        sts_endpoint=standin.at["sts_tls"],
    )
    provider._runtime_options["ca"] = standin.ca
    all_three(standin.privatelink(provider=provider))
    os.unlink(file.name)
    (call,) = standin.calls("sts")
    equal((call["action"], call["key"]), ("AssumeRoleWithOIDC", None), "STS")


def metadata_provider(standin, **more):
    provider = EcsRamRoleCredentialsProvider(async_update_enabled=False, **more)
    # The address can't be configured, so the provider's own constant is replaced.
    provider._EcsRamRoleCredentialsProvider__metadata_service_host = standin.at["metadata"]
    return provider


def metadata_paths(standin):
    """What metadata was asked: the last part of each path, the status, and whether there was a token."""
    last = [call["action"].split("/")[-1] or "role name" for call in standin.calls("metadata")]
    return [(what, call["status"], call["parameters"]["token"]) for what, call in zip(last, standin.calls("metadata"))]


def ecs_role(standin):
    all_three(standin.privatelink(provider=metadata_provider(standin)))
    token, rest = ("token", 200, "no"), [("role name", 200, "yes"), ("agent", 200, "yes")]
    equal(metadata_paths(standin), [token, rest[0], token, rest[1]], "what metadata was asked")
    instance = standin.control("GET", "host/instance_id")
    caller = f"acs:ram::{standin.account}:assumed-role/agent/{instance}"
    equal({call["caller"] for call in standin.calls()}, {caller}, "callers")


def ecs_role_hardened(standin):
    standin.control("POST", "host", {"tokens": "required"})
    all_three(standin.privatelink(provider=metadata_provider(standin, role_name="agent", disable_imds_v1=True)))
    equal(metadata_paths(standin), [("token", 200, "no"), ("agent", 200, "yes")], "what metadata was asked")


def ecs_role_plain(standin):
    standin.control("POST", "host", {"tokens": "unsupported"})
    all_three(standin.privatelink(provider=metadata_provider(standin, role_name="agent")))
    equal(metadata_paths(standin), [("token", 404, "no"), ("agent", 200, "no")], "what metadata was asked")
    try:
        metadata_provider(standin, role_name="agent", disable_imds_v1=True).get_credentials()
    except Exception as error:
        equal("HttpCode=404" in str(error.message), True, error.message)
    else:
        raise AssertionError("credentials without a token, though that was forbidden")


def ecs_role_absent(standin):
    standin.control("POST", "host", {"role": None})
    try:
        metadata_provider(standin).get_credentials()
    except Exception as error:
        equal("HttpCode=404" in str(error.message), True, error.message)
    else:
        raise AssertionError("credentials, though no role is attached")


def uri(standin):
    url = f"http://{standin.at['metadata']}/latest/meta-data/ram/security-credentials/agent"
    all_three(standin.privatelink(provider=URLCredentialsProvider(uri=url)))


SCENES = [
    ("STS makes a token (ACS3), and all three calls take it", sts_token),
    ("STS says who asks", who),
    ("a session's own policy narrows it", narrowed),
    ("the credentials library assumes a role (HMAC-SHA1)", ram_role_arn),
    ("the credentials library exchanges an OIDC token", oidc),
    ("the ECS role of metadata, by name and token", ecs_role),
    ("the ECS role of hardened metadata", ecs_role_hardened),
    ("the ECS role of metadata without tokens", ecs_role_plain),
    ("no ECS role is attached", ecs_role_absent),
    ("a credentials URI", uri),
]
