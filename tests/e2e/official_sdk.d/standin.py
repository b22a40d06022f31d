"""The stand-in, and the SDK's clients pointed at it."""

import json
import urllib.request

from alibabacloud_credentials.client import Client as CredentialClient
from alibabacloud_privatelink20200415 import models
from alibabacloud_privatelink20200415.client import Client as PrivatelinkClient
from alibabacloud_sts20150401.client import Client as StsClient
from alibabacloud_tea_openapi.utils_models import Config

REGION = "cn-hangzhou"
ORDERS = "ep-bp1standinorders00001"
LEDGER = "ep-bp1standinledger00001"


def equal(found, expected, what=""):
    if found != expected:
        raise AssertionError(f"{what}: expected {expected!r}, found {found!r}")


class Standin:
    def __init__(self, sim_json, ca):
        with open(sim_json, encoding="utf-8") as file:
            self.said = json.load(file)
        self.ca = ca
        self.at = self.said["addresses"]
        environment = self.said["environment"]
        self.key = (environment["ALIBABA_CLOUD_ACCESS_KEY_ID"], environment["ALIBABA_CLOUD_ACCESS_KEY_SECRET"])
        self.powerless_key = (self.said["powerless_key"]["id"], self.said["powerless_key"]["secret"])
        account = self.control("GET", "account")
        self.role_arn = f"acs:ram::{account}:role/agent"
        self.closed_role_arn = f"acs:ram::{account}:role/closed"
        self.oidc_arn = f"acs:ram::{account}:oidc-provider/standin"
        self.account = account
        self.since = 0

    def control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        url = f"http://{self.at['control']}/control/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=10) as answer:
            return json.load(answer)

    def reset(self):
        self.control("POST", "reset", {})
        calls = self.control("GET", "calls")
        self.since = calls[-1]["number"] if calls else 0

    def calls(self, service="privatelink"):
        """What the check at hand has asked so far."""
        return self.control("GET", f"calls?since={self.since}&service={service}")

    def fault(self, kind, action="*", service="privatelink", times=None, **what):
        on = {"service": service, "action": action}
        self.control("POST", "faults", {"on": on, "what": {"kind": kind, **what}, "times": times})

    def session(self, seconds):
        """The credentials of a session of role agent: id, secret, token."""
        made = self.control("POST", "sessions", {"role": "agent", "name": "check", "seconds": seconds})
        return made["key"], made["session"]["secret"], made["session"]["token"]

    def config(self, service, keys=None, provider=None, tls=False, **more):
        key, secret, token = (keys or self.key) + (None,) * (3 - len(keys or self.key))
        if provider is not None:
            more["credential"] = CredentialClient(provider=provider)
        else:
            more.update(access_key_id=key, access_key_secret=secret, security_token=token)
        if tls:
            more["ca"] = self.ca
        return Config(
            region_id=REGION,
            endpoint=self.at[f"{service}_tls" if tls else service],
            protocol="HTTPS" if tls else "HTTP",
            **more,
        )

    def privatelink(self, keys=None, **more):
        return PrivatelinkClient(self.config("privatelink", keys, **more))

    def sts(self, keys=None, **more):
        return StsClient(self.config("sts", keys, **more))


def list_endpoints(client, **filters):
    return client.list_vpc_endpoints(models.ListVpcEndpointsRequest(region_id=REGION, **filters)).body


def list_zones(client, endpoint=ORDERS, **more):
    request = models.ListVpcEndpointZonesRequest(region_id=REGION, endpoint_id=endpoint, **more)
    return client.list_vpc_endpoint_zones(request).body


def attribute(client, endpoint=ORDERS):
    request = models.GetVpcEndpointAttributeRequest(region_id=REGION, endpoint_id=endpoint)
    return client.get_vpc_endpoint_attribute(request).body


def all_three(client):
    """The three calls that the agent makes."""
    equal([e.endpoint_id for e in list_endpoints(client).endpoints], [LEDGER, ORDERS], "endpoints")
    equal(attribute(client).endpoint_id, ORDERS, "attribute")
    equal(len(list_zones(client).zones), 2, "zones")
