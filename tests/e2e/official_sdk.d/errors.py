"""The documented errors, as the SDK understands them."""

import time

from alibabacloud_privatelink20200415 import models
from alibabacloud_sts20150401 import models as sts_models
from alibabacloud_tea_openapi.exceptions import ClientException, ServerException, ThrottlingException
from darabonba.policy.retry import RetryCondition, RetryOptions
from standin import REGION, attribute, equal, list_endpoints, list_zones


def refused(call, status, code, kind=ClientException):
    """The error of a call, once it is known to be this one."""
    try:
        call()
    except Exception as error:
        equal((type(error).__name__, error.status_code, error.code), (kind.__name__, status, code), error)
        return error
    raise AssertionError(f"expected {code}, and it went well")


def refused_keys(standin, keys, status, code):
    for tls in [False, True]:
        client = standin.privatelink(keys, tls=tls)
        for call in [list_endpoints, attribute, list_zones]:
            refused(lambda: call(client), status, code)


def wrong_secret(standin):
    refused_keys(standin, (standin.key[0], "wrong"), 400, "SignatureDoesNotMatch")


def unknown_key(standin):
    refused_keys(standin, ("LTAI5tNobodyKnows", "x"), 404, "InvalidAccessKeyId.NotFound")


def inactive_key(standin):
    standin.control("POST", f"users/agent/keys/{standin.key[0]}", {"active": False})
    refused_keys(standin, standin.key, 400, "InvalidAccessKeyId.Inactive")


def tokens(standin):
    key, secret, token = standin.session(3600)
    list_endpoints(standin.privatelink((key, secret, token)))
    refused_keys(standin, (key, secret, "CAISmadeup"), 400, "InvalidSecurityToken.Malformed")
    refused_keys(standin, standin.key + (token,), 400, "InvalidSecurityToken.MismatchWithAccessKey")
    refused_keys(standin, (key, secret), 400, "MissingSecurityToken")


def expired_token(standin):
    refused_keys(standin, standin.session(-1), 400, "InvalidSecurityToken.Expired")


def missing_permission(standin):
    refused_keys(standin, standin.powerless_key, 403, "Forbidden.RAM")
    error = refused(lambda: list_endpoints(standin.privatelink(standin.powerless_key)), 403, "Forbidden.RAM")
    detail = error.access_denied_detail
    equal((detail["AuthAction"], detail["NoPermissionType"]), ("privatelink:ListVpcEndpoints", "ImplicitDeny"), detail)


def clock(standin):
    for minutes in [16, -16]:
        standin.control("PUT", "clock_offset_ms", minutes * 60_000)
        refused_keys(standin, standin.key, 400, "InvalidTimeStamp.Expired")
    standin.control("PUT", "clock_offset_ms", 14 * 60_000)
    list_endpoints(standin.privatelink())


def used_nonce(standin):
    from alibabacloud_tea_openapi.utils import Utils

    kept, Utils.get_nonce = Utils.get_nonce, staticmethod(lambda: "the same one")
    try:
        list_endpoints(standin.privatelink())
        refused(lambda: list_endpoints(standin.privatelink()), 400, "SignatureNonceUsed")
    finally:
        Utils.get_nonce = kept


def not_found(standin):
    client = standin.privatelink()
    refused(lambda: attribute(client, "ep-unknown"), 400, "EndpointNotFound")
    refused(lambda: list_zones(client, "ep-unknown"), 400, "EndpointNotFound")


def bad_calls(standin):
    client = standin.privatelink()
    refused(lambda: client.list_vpc_endpoints(models.ListVpcEndpointsRequest()), 400, "MissingParameter")
    other = models.ListVpcEndpointsRequest(region_id="cn-nowhere")
    refused(lambda: client.list_vpc_endpoints(other), 404, "InvalidRegionId.NotFound")
    refused(lambda: list_endpoints(client, max_results=0), 400, "InvalidParameter.MaxResults")
    delete = models.DeleteVpcEndpointRequest(region_id=REGION, endpoint_id="ep-unknown")
    refused(lambda: client.delete_vpc_endpoint(delete), 404, "InvalidAction.NotFound")


def throttling(standin):
    standin.fault("throttle", times=1)
    refused(lambda: list_endpoints(standin.privatelink()), 400, "Throttling.User")
    standin.fault("throttle", times=1, code="Throttling.Api", retry_after_ms=1234)
    error = refused(lambda: list_endpoints(standin.privatelink()), 400, "Throttling.Api", ThrottlingException)
    equal(error.retry_after, 1234, "wait, in ms")
    list_endpoints(standin.privatelink())


def quota(standin):
    standin.control("POST", "api", {"quota_calls": 3, "quota_window_ms": 600_000})
    client = standin.privatelink()
    outcomes = []
    for _ in range(5):
        try:
            list_zones(client)
            outcomes.append("ok")
        except ClientException as error:
            outcomes.append(error.code)
    # Checks of before count too: the quota is the account's.
    equal(outcomes[-1], "Throttling.User", outcomes)


def retries(standin):
    """The SDK waits as long as the throttled answer says, and signs again."""
    standin.fault("throttle", times=1, retry_after_ms=300)
    condition = RetryCondition(max_attempts=3, exception=["ThrottlingException"], error_code=["Throttling.User"])
    options = RetryOptions({"retryable": True, "retryCondition": [condition]})
    client = standin.privatelink(retry_options=options)
    began = time.monotonic()
    list_endpoints(client)
    calls = standin.calls()
    equal([call["outcome"] for call in calls], ["Throttling.User", "ok"], "calls")
    equal(calls[0]["nonce"] != calls[1]["nonce"], True, "signed again")
    equal(time.monotonic() - began >= 0.3, True, "waited")


def server_errors(standin):
    standin.fault("error", status=503, code="ServiceUnavailable", times=1)
    refused(lambda: list_endpoints(standin.privatelink()), 503, "ServiceUnavailable", ServerException)
    standin.fault("error", status=500, code="InternalError", xml=True, times=1)
    refused(lambda: list_endpoints(standin.privatelink()), 500, "InternalError", ServerException)


def faults_of_delivery(standin):
    for what in [{"kind": "hang"}, {"kind": "hang_up"}, {"kind": "reset"}, {"kind": "cut", "after": 20}, {"kind": "garbage"}]:
        standin.control("POST", "faults", {"what": what, "times": 1})
        try:
            list_endpoints(standin.privatelink(read_timeout=500, connect_timeout=500))
        except Exception:
            pass
        else:
            raise AssertionError(f"an answer in spite of {what}")
    list_endpoints(standin.privatelink())


def lists(standin):
    standin.fault("empty_list", times=1)
    body = list_zones(standin.privatelink())
    equal((body.zones, body.total_count), ([], 0), "an empty list")
    standin.fault("partial_list", keep=1, times=1)
    body = list_zones(standin.privatelink())
    equal((len(body.zones), body.total_count, body.next_token), (1, 2, None), "a partial list")
    standin.fault("repeat_token", times=2)
    token = list_zones(standin.privatelink()).next_token
    equal(list_zones(standin.privatelink(), next_token=token).next_token, token, "a token that repeats")


def roles(standin):
    def assume(role=standin.role_arn, keys=None, **more):
        request = sts_models.AssumeRoleRequest(role_arn=role, role_session_name="check", **more)
        return lambda: standin.sts(keys).assume_role(request)

    refused(assume(standin.closed_role_arn), 403, "NoPermission")
    refused(assume(keys=standin.powerless_key), 403, "NoPermission")
    refused(assume(standin.role_arn + "x"), 404, "EntityNotExist.Role")
    refused(assume(duration_seconds=60), 400, "InvalidParameter.DurationSeconds")
    refused(assume(keys=(standin.key[0], "wrong")), 400, "SignatureDoesNotMatch")


SCENES = [
    ("a wrong secret", wrong_secret),
    ("an unknown key", unknown_key),
    ("an inactive key", inactive_key),
    ("an expired token", expired_token),
    ("tokens that are wrong, another's or missing", tokens),
    ("a missing permission, with its details", missing_permission),
    ("clocks that are too far apart", clock),
    ("a used nonce", used_nonce),
    ("an endpoint that isn't there", not_found),
    ("calls that are none", bad_calls),
    ("throttling, with and without a wait", throttling),
    ("the account's quota", quota),
    ("a retry of a throttled call", retries),
    ("server errors, as JSON and XML", server_errors),
    ("answers that don't arrive", faults_of_delivery),
    ("lists that are empty, partial or endless", lists),
    ("roles that can't be assumed", roles),
]
