"""The lists and attributes of PrivateLink, with an access key."""

from alibabacloud_privatelink20200415 import models

from standin import LEDGER, ORDERS, REGION, all_three, attribute, equal, list_endpoints, list_zones


def endpoints(standin):
    body = list_endpoints(standin.privatelink())
    equal(body.total_count, 2, "total")
    equal(body.next_token, None, "next token")
    orders = body.endpoints[1]
    domain = f"{ORDERS}.epsrv-bp1standinorders0001.{REGION}.privatelink.aliyuncs.com"
    equal(orders.endpoint_domain, domain, "domain")
    equal(orders.service_name, f"com.aliyuncs.privatelink.{REGION}.epsrv-bp1standinorders0001", "service name")
    statuses = (orders.endpoint_status, orders.connection_status, orders.endpoint_business_status)
    equal(statuses, ("Active", "Connected", "Normal"), "statuses")
    equal((orders.zone_affinity_enabled, orders.resource_owner), (False, False), "booleans")
    equal([(tag.key, tag.value) for tag in orders.tags], [("made-by", "privatelink-sim")], "tags")


def every_field(standin):
    """What the SDK knows and the stand-in leaves out, it finds None in."""
    def missing(model):
        return {name for name, value in vars(model).items() if value is None}

    client = standin.privatelink()
    equal(missing(list_zones(client).zones[0]), set(), "fields of a zone without a value")
    # Only endpoints to another region have it.
    alone = {"cross_region_bandwidth"}
    equal(missing(list_endpoints(client).endpoints[0]), alone, "fields of an endpoint without a value")
    equal(missing(attribute(client)), alone, "attributes without a value")
    standin.control("POST", f"endpoints/{ORDERS}", {"service_region": "cn-beijing"})
    body = attribute(client)
    equal((missing(body), body.service_region_id), (set(), "cn-beijing"), "attributes of one to another region")


def filters(standin):
    client = standin.privatelink()
    for filters, expected in [
        ({"vpc_id": "vpc-bp1standin0000000001"}, [LEDGER, ORDERS]),
        ({"vpc_id": "vpc-other"}, []),
        ({"endpoint_name": "orders"}, [ORDERS]),
        ({"endpoint_id": LEDGER, "endpoint_type": "Interface"}, [LEDGER]),
        ({"connection_status": "Disconnected"}, []),
    ]:
        equal([e.endpoint_id for e in list_endpoints(client, **filters).endpoints], expected, filters)


def awkward_values(standin):
    client = standin.privatelink()
    for name in ["中文 名", "a b+c*d~e/f", "100%&=?#", "'\"<>;:@!$(),", "\u00fc\u0301", "🙂"]:
        equal(list_endpoints(client, endpoint_name=name).endpoints, [], name)
        equal(standin.calls()[-1]["parameters"]["EndpointName"], name, "as the stand-in read it")


def tags(standin):
    client = standin.privatelink()
    tag = models.ListVpcEndpointsRequestTag
    eleven = [tag(key=f"key {n}", value="x") for n in range(11)]
    equal(list_endpoints(client, tag=eleven).endpoints, [], "eleven tags")
    equal(standin.calls()[-1]["parameters"]["Tag.11.Key"], "key 10", "as the stand-in read it")
    equal(len(list_endpoints(client, tag=[tag(key="made-by", value="privatelink-sim")]).endpoints), 2, "one tag")


def pages(standin):
    client = standin.privatelink()
    for last in ["absent", "empty", "null"]:
        standin.control("POST", "api", {"last_token": last})
        first = list_endpoints(client, max_results=1)
        equal(first.total_count, 2, "total")
        second = list_endpoints(client, max_results=1, next_token=first.next_token)
        equal([e.endpoint_id for e in first.endpoints + second.endpoints], [LEDGER, ORDERS], "pages")
        equal(second.next_token or None, None, "last token")
        zones = list_zones(client, max_results=1)
        zones = zones.zones + list_zones(client, max_results=1, next_token=zones.next_token).zones
        equal([zone.zone_id for zone in zones], [f"{REGION}-h", f"{REGION}-i"], "zones")


def zones(standin):
    found = list_zones(standin.privatelink()).zones
    declared = standin.control("GET", f"endpoints/{ORDERS}/zones")
    equal({z.zone_id: z.eni_ip for z in found}, {name: z["eni_ip"] for name, z in declared.items()}, "addresses")
    equal({z.zone_id: z.eni_id for z in found}, {name: z["eni_id"] for name, z in declared.items()}, "ENIs")
    domain = f"{ORDERS}-{REGION}-h.epsrv-bp1standinorders0001.{REGION}.privatelink.aliyuncs.com"
    equal((found[0].zone_status, found[0].zone_domain), ("Connected", domain), "status and domain")
    standin.control("POST", f"endpoints/{ORDERS}/zones/{REGION}-h", {"status": "Creating", "eni_ip": None})
    zone = list_zones(standin.privatelink()).zones[0]
    equal((zone.zone_status, zone.eni_ip), ("Creating", None), "a zone that is being made")


def attributes(standin):
    body = attribute(standin.privatelink())
    equal((body.endpoint_name, body.payer, body.zone_private_ip_address_count), ("orders", "Endpoint", 1), "attributes")


def security_groups(standin):
    request = models.ListVpcEndpointSecurityGroupsRequest(region_id=REGION, endpoint_id=ORDERS)
    groups = standin.privatelink().list_vpc_endpoint_security_groups(request).body.security_groups
    equal([(g.security_group_id, g.security_group_status) for g in groups], [("sg-bp1standin000000001", "Attached")])


def over_tls(standin):
    all_three(standin.privatelink(tls=True))


async def asynchronous(standin):
    client = standin.privatelink()
    answer = await client.list_vpc_endpoints_async(models.ListVpcEndpointsRequest(region_id=REGION))
    equal(answer.body.total_count, 2, "total")


def nonces(standin):
    client = standin.privatelink()
    for _ in range(20):
        list_endpoints(client)
    calls = standin.calls()
    equal(len({call["nonce"] for call in calls}), 20, "different nonces")
    equal({call["caller"] for call in calls}, {f"acs:ram::{standin.account}:user/agent"}, "callers")


SCENES = [
    ("an access key lists endpoints", endpoints),
    ("every field of the SDK's models has a value", every_field),
    ("endpoints are filtered", filters),
    ("awkward characters are signed", awkward_values),
    ("lists of tags are signed", tags),
    ("lists come by the page, whichever way they end", pages),
    ("an access key lists zones", zones),
    ("an access key gets attributes", attributes),
    ("an access key lists security groups", security_groups),
    ("over TLS", over_tls),
    ("with the SDK's asynchronous client", asynchronous),
    ("every request has a nonce of its own", nonces),
]
