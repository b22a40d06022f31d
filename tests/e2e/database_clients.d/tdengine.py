"""What TDengine's clients and curl find in the TDengine gateway."""

import json
import os
import socket

import requests
import taosrest
from standin import NAME, contains, equal, refused
from taosrest.errors import HTTPError

HERE = os.path.dirname(os.path.abspath(__file__))
STATUS = "select server_status()"


def resolve_to(ip):
    """As the vendor's line in /etc/hosts does, for this process."""
    real = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *rest, **more: real(ip if host == NAME else host, *rest, **more)


def by_taospy(standin, token=None, **more):
    os.environ["REQUESTS_CA_BUNDLE"] = standin.ca
    resolve_to(standin.ip)
    if not more:
        more["token"] = standin.accounts["tokens"][0] if token is None else token
    return taosrest.connect(url=f"https://{NAME}:{standin.port}", timeout=5, **more)


def rows(connection, sql=STATUS):
    cursor = connection.cursor()
    cursor.execute(sql)
    return [list(row) for row in cursor.fetchall()]


def taospy_token(standin):
    connection = by_taospy(standin)
    equal(rows(connection), [[1]], "server_status()")
    equal(connection.server_info, "3.3.6.0", "version")
    contains(rows(connection, "show databases"), ["information_schema"], ["performance_schema"])
    counts = standin.counts()
    equal((counts["requests"], counts["authenticated"]), (3, 3), "requests")
    seen = counts["last_request"]
    contains(seen["line"], "POST /rest/sql?token=")
    equal((seen["server_name"], seen["headers"].get("authorization")), (NAME, None), "SNI, Authorization")


def taospy_basic(standin):
    user, password = next(iter(standin.accounts["users"].items()))
    equal(rows(by_taospy(standin, user=user, password=password)), [[1]], "server_status()")
    connection = by_taospy(standin, user=user, password="wrong")
    refused(lambda: rows(connection), taosrest.Error, "Authentication failure")
    standin.control("PATCH", "databases/tdengine", {"http_code_server_error": True})
    connection = by_taospy(standin, user=user, password="wrong")
    refused(lambda: rows(connection), HTTPError, "authorization error")


def taospy_errors(standin):
    refused(lambda: rows(by_taospy(standin, token="wrong")), HTTPError, "401", "authorization error")
    for mode, part in [
        ({"code": 855}, "Authentication failure"),
        ({"code": 11}, "Unable to establish connection"),
        ({"code": 304}, "Database is starting up"),
        ({"refusal": "bad_token_page"}, "authorization error"),
        ({"refusal": "paused"}, "system resources is not sufficient"),
        ({"refusal": "pool_timeout"}, "system resources is not sufficient"),
    ]:
        standin.mode(mode)
        refused(lambda: rows(by_taospy(standin)), (taosrest.Error, HTTPError), part)
    for mode in ["truncated_json", "not_json", "missing_last_chunk", "reset", "hang_up", "refused", "garbage_http"]:
        standin.mode(mode)
        refused(lambda: rows(by_taospy(standin)), Exception)
    standin.mode("no_rows")
    equal(rows(by_taospy(standin)), [], "rows")


def taospy_certificates(standin):
    for certificate, part in [
        ("expired", "certificate has expired"),
        ("other_name", "Hostname mismatch"),
        ("untrusted", "unable to get local issuer certificate"),
        ("self_signed", "self-signed certificate"),
    ]:
        standin.mode({"certificate": certificate})
        refused(lambda: rows(by_taospy(standin)), requests.exceptions.SSLError, part)


def by_node(standin, sql=STATUS, **options):
    if not options:
        options["query"] = {"token": standin.accounts["tokens"][0]}
    asked = {"name": NAME, "ip": standin.ip, "port": standin.port, "sql": sql, "options": options}
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": standin.ca}
    code, out, said = standin.run("node", os.path.join(HERE, "rest.js"), json.dumps(asked), env=environment)
    equal((code, said), (0, ""), "node")
    return json.loads(out)


def node_answers(standin):
    found = by_node(standin)
    equal((found.get("code"), found.get("data")), (0, [[1]]), str(found))
    seen = standin.counts()["last_request"]
    equal((seen["server_name"], seen["headers"].get("authorization")), (NAME, None), "SNI, Authorization")
    user, password = next(iter(standin.accounts["users"].items()))
    equal(by_node(standin, user=user, passwd=password).get("data"), [[1]], "by Basic")
    found = by_node(standin, user=user, passwd="wrong")
    equal((found.get("code"), found.get("desc")), (855, "Authentication failure"), str(found))


def node_errors(standin):
    equal(by_node(standin, query={"token": "wrong"}), {"error": "Authentication failed."}, "a wrong token")
    standin.mode({"code": 855})
    equal(by_node(standin).get("code"), 855, "855")
    standin.mode({"refusal": "paused"})
    equal(by_node(standin), {"error": "insufficient system resource."}, "a bare string")
    standin.mode({"certificate": "expired"})
    contains(by_node(standin)["error"], "certificate has expired")
    standin.mode({"certificate": "other_name"})
    contains(by_node(standin)["error"], "does not match certificate's altnames")
    standin.mode({"certificate": "untrusted"})
    contains(by_node(standin)["error"], "unable to verify the first certificate")


def by_curl(standin, *arguments, token=None, sql=STATUS, path="/rest/sql"):
    """Exit code, status and body, as the vendor's page has the command."""
    token = standin.accounts["tokens"][0] if token is None else token
    code, out, _ = standin.run(
        "curl", "--silent", "--max-time", "3", "--noproxy", "*", "--cacert", standin.ca,
        "--resolve", f"{NAME}:{standin.port}:{standin.ip}", "--write-out", "\n%{http_code}", "--data", sql, *arguments,
        f"https://{NAME}:{standin.port}{path}?token={token}",
    )
    body, _, status = out.rpartition("\n")
    return code, int(status), body


def curl_answers(standin):
    code, status, body = by_curl(standin, "--include", sql="show databases;")
    equal((code, status), (0, 200), "exit code, status")
    contains(body.lower(), "transfer-encoding: chunked", "content-type: application/json; charset=utf-8")
    code, status, body = by_curl(standin)
    expected = {"code": 0, "column_meta": [["server_status()", "INT", 4]], "data": [[1]], "rows": 1}
    equal((code, status, json.loads(body)), (0, 200, expected), "server_status()")
    equal(by_curl(standin, "--compressed"), (0, 200, body), "gzip")
    for mode in [{"drip": {"every_ms": 2}}, {"certificate": "good"}]:
        standin.mode(mode)
        equal(by_curl(standin), (0, 200, body), str(mode))
    standin.mode("up")
    code, out, _ = standin.run(
        "curl", "--silent", "--cacert", standin.ca, "--resolve", f"{NAME}:{standin.port}:{standin.ip}",
        "--write-out", "%{http_code}", f"https://{NAME}:{standin.port}/-/ping",
    )
    equal((code, out), (0, "200"), "ping")


def curl_errors(standin):
    code, status, body = by_curl(standin, token="wrong")
    equal((code, status), (0, 401), "a wrong token")
    contains(json.loads(body), "code")
    for mode, status, parts in [
        ({"code": 855}, 200, ['"code":855', "Authentication failure"]),
        ({"error": {"code": 123456, "desc": "anything"}}, 200, ['"code":123456', "anything"]),
        ({"refusal": "bad_token_page"}, 401, ["<html>"]),
        ({"refusal": "whitelist"}, 403, ["65535", "whitelist prohibits current IP access"]),
        ({"refusal": "empty_request"}, 400, ["4358", "request is empty"]),
        ({"refusal": "not_found"}, 404, ["404 page not found"]),
        ({"refusal": "bad_gateway"}, 502, ["<html>"]),
        ({"refusal": "pool_timeout"}, 503, ["65535", "get connection timeout"]),
        ({"refusal": "paused"}, 503, ['"memory exceeds threshold"']),
        ({"refusal": "queries_paused"}, 503, ['"query memory exceeds threshold"']),
        ({"redirect": {"location": "https://other.example/"}}, 301, [""]),
        ("no_rows", 200, ['"rows":0']),
        ("not_json", 200, ["<html>"]),
    ]:
        standin.mode(mode)
        code, found, body = by_curl(standin)
        equal((code, found), (0, status), str(mode))
        contains(body, *parts)
    standin.control("PATCH", "databases/tdengine", {"http_code_server_error": True})
    for code, status in [(855, 401), (11, 502), (9728, 400), (304, 500)]:
        standin.mode({"code": code})
        equal(by_curl(standin)[:2], (0, status), str(code))


def curl_connections(standin):
    for mode, expected in [
        ({"certificate": "expired"}, 60),
        ({"certificate": "other_name"}, 60),
        ({"certificate": "untrusted"}, 60),
        ({"certificate": "self_signed"}, 60),
        ("refused", 7),
        # Within connecting or behind it.
        ("reset", (7, 35)),
        ("garbage", 35),
        ("stall_tls", 28),
        ("stall_http", 28),
        ("silent", 28),
        ("hang_up_on_request", 52),
        ("garbage_http", 1),
        ("missing_last_chunk", 18),
    ]:
        standin.mode(mode)
        found = by_curl(standin)[0]
        if found not in (expected if isinstance(expected, tuple) else (expected,)):
            raise AssertionError(f"{mode}: expected exit code {expected}, found {found}")


SCENES = [
    ("taospy: asks with a token", taospy_token),
    ("taospy: asks by Basic, 855 and 401", taospy_basic),
    ("taospy: 401, 855, 503 as a bare string, and answers that are broken", taospy_errors),
    ("taospy: each bad certificate", taospy_certificates),
    ("@tdengine/rest: asks with a token and by Basic", node_answers),
    ("@tdengine/rest: 401, 855, 503 as a bare string, bad certificates", node_errors),
    ("curl: asks as the vendor's page does", curl_answers),
    ("curl: every status and its body", curl_errors),
    ("curl: bad certificates, and connections that fail", curl_connections),
]
