//! The control of the stand-in over HTTP, for tests in other languages and for use by hand.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;

use super::api::{Reply, Request};
use super::handle::Shared;
use super::merge::{find, merge, place, remove};
use super::world::{Fault, Policy, Service, World};

const HELP: &str = "\
The control of the stand-in. Bodies are JSON; an answer comes when the change is in force.

GET    /control/addresses                 where everything is
GET    /control/ca.pem                    the authority of all certificates
GET    /control/world                     everything that is declared; every part of it has a path of its own:
GET    /control/endpoints/EP/zones/ZONE   that part
POST   /control/endpoints/EP/zones/ZONE   merges into it (RFC 7396): {\"status\": \"Disconnected\"}, {\"eni_ip\": \"127.9.9.9\"},
                                          {\"serve\": {\"mode\": \"refused\"}}; a mode is always replaced
PUT    /control/...                       replaces it
DELETE /control/...                       takes it away
POST   /control/doors                     {\"privatelink\": \"refused\"}; also sts, metadata, dns; open, refused, silent
POST   /control/certificates              {\"sts\": \"expired\"}; also privatelink; see CERTIFICATE
POST   /control/host                      {\"tokens\": \"required\", \"role\": null}
POST   /control/names                     {\"ttl\": 5, \"cached\": true}
POST   /control/api                       {\"quota_calls\": 10, \"page_cap\": 1}
PUT    /control/clock_offset_ms           3600000
POST   /control/databases                 {\"tdengine\": {\"http_code_server_error\": true}}
POST   /control/databases/matrixone       {\"version\": \"8.0.30-MatrixOne-v2.0.3\"}: answers as v2.0.3; from v3 on as v4.2.0
PUT    /control/databases/matrixone/users {\"a:admin:accountadmin\": \"password\", \"a:haproxy:r\": \"\"}; tdengine: users, tokens

POST   /control/faults                    adds one: {\"what\": {\"kind\": \"hang\"}, \"on\": {\"service\": \"sts\"}, \"times\": 1}
DELETE /control/faults[/ID]               takes all away, or one
GET    /control/calls?since=N&service=sts what was asked
DELETE /control/calls                     forgets it
POST   /control/sessions                  opens one: {\"role\": \"agent\", \"name\": \"test\", \"seconds\": 3600}
GET    /control/connections               connections to each ENI's service
GET    /control/counts                    and what else it counts: logins, heartbeats, TLS handshakes, last requests
POST   /control/reset                     everything declared as at the start

Faults (on: service, action, endpoint, key; after: N; times: N): throttle {code, retry_after_ms},
error {status, code, message, xml}, status {status, body}, redirect {location}, delay {ms}, hang, hang_up, reset,
drip {bytes, every_ms}, cut {after}, garbage, huge {bytes}, empty_list, partial_list {keep}, repeat_token,
patch {at, value}, rcode {rcode}.

What answers at an ENI, {\"serve\": {\"kind\": K, \"port\": N, \"mode\": M}}; modes of all kinds: up, refused, silent
tcp        no more
https      stall_tls, {\"status\": 503}, stall_http, garbage, garbage_http, reset, hang_up
matrixone  stall_greeting, reset, hang_up, garbage, {\"drip\": {\"every_ms\": 50}}, cut_greeting, too_many_connections,
           {\"first_packet\": ERROR}, old_protocol, mysql, other_plugin, stall_tls, {\"certificate\": CERTIFICATE},
           stall_login, hang_up_on_login, {\"login\": ROW}, {\"login_error\": ERROR}, {\"cluster\": FAULT},
           stall_query, hang_up_on_query,
           {\"query_error\": ERROR}, empty_result, other_value, ask_clear_password, ask_sha2_password, local_infile
           ROW: no_cn, no_cn_servers, old_no_cn, cn_busy, cn_not_ready, no_tenant, no_user, no_role, role_not_granted,
           user_locked, user_locked_for_good, not_invited, wrong_password, suspended, source_not_authorized,
           too_many_connections, plugin_rejected, access_error_twice, packet_too_big
           FAULT: cn_killed, cn_frozen, tn_killed, tn_frozen, object_store_unreadable, data_objects_unreadable,
           routing_hangs, routing_refuses, routing_killed, tenant_full, password_expired, no_privilege, restricted
           ERROR: {\"code\": 1040, \"state\": \"08004\", \"text\": \"Too many connections\"}
tdengine   stall_tls, reset, hang_up, garbage, {\"certificate\": CERTIFICATE}, stall_http, hang_up_on_request,
           garbage_http, {\"code\": 855}, {\"error\": {\"code\": 1, \"desc\": \"text\"}}, {\"refusal\": REFUSAL}, {\"status\": 502},
           {\"redirect\": {\"location\": URL}}, not_json, empty_body, {\"huge\": {\"bytes\": N}}, no_rows, fewer_rows,
           other_value, truncated_json, missing_last_chunk, {\"drip\": {\"every_ms\": 50}}
           REFUSAL: bad_token, bad_token_page, forbidden_page, no_auth, unknown_scheme, bad_basic, bad_taosd, whitelist,
           sql_rejected, empty_request, no_sql, bad_parameter, not_found, bad_gateway, pool_timeout, pool_wait, paused,
           queries_paused
CERTIFICATE: good, expired, other_name, untrusted, self_signed
";

/// Why a control request failed.
#[derive(Debug, Error)]
enum Refusal {
    #[error("there is nothing at this path; GET /control lists what there is")]
    NotFound,
    #[error("{0}")]
    Malformed(String),
    #[error("the change is made, but not in force: {0}")]
    NotInForce(#[from] std::io::Error),
}

/// A session to open.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    role: String,
    #[serde(default = "session_name")]
    name: String,
    #[serde(default)]
    policy: Option<Policy>,
    /// Negative, it has already ended.
    #[serde(default = "an_hour")]
    seconds: i64,
}

fn session_name() -> String {
    "control".to_owned()
}

const fn an_hour() -> i64 {
    3600
}

/// Answers a control request, when what it changes is in force.
pub(super) async fn answer(shared: &Shared, request: &Request) -> Reply {
    let parts: Vec<String> = request.path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let path = match parts.split_first() {
        None => &[],
        Some((first, path)) if first == "control" => path,
        Some(_) => return refused(&Refusal::NotFound),
    };
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let result = match (request.method.as_str(), names.as_slice()) {
        ("GET", []) => return Reply::text(200, HELP),
        ("GET", ["ca.pem"]) => return Reply::text(200, shared.ca_pem()),
        ("GET", ["addresses"]) => Ok(json!(shared.addresses)),
        ("GET", ["calls"]) => calls(shared, request),
        ("DELETE", ["calls"]) => {
            shared.lock().ledger.forget_calls();
            Ok(Value::Null)
        }
        ("GET", ["connections"]) => Ok(json!(shared.connections().await)),
        ("GET", ["counts"]) => Ok(json!(shared.counts().await)),
        ("POST", ["faults"]) => add_fault(shared, request),
        ("DELETE", ["faults"]) => {
            shared.lock().world.faults.clear();
            Ok(Value::Null)
        }
        ("POST", ["sessions"]) => open_session(shared, request),
        ("POST", ["reset"]) => shared.reset().await.map(|()| Value::Null).map_err(Refusal::from),
        (method, ["world", ..]) => edit(shared, method, path.get(1..).unwrap_or_default(), request).await,
        (method, _) => edit(shared, method, path, request).await,
    };
    match result {
        Ok(value) => Reply::json(200, &value),
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &Refusal) -> Reply {
    let status = match refusal {
        Refusal::NotFound => 404,
        Refusal::Malformed(_) => 400,
        Refusal::NotInForce(_) => 500,
    };
    Reply::json(status, &json!({ "error": refusal.to_string() }))
}

fn body<T: DeserializeOwned>(request: &Request) -> Result<T, Refusal> {
    serde_json::from_slice(&request.body).map_err(|error| Refusal::Malformed(error.to_string()))
}

fn calls(shared: &Shared, request: &Request) -> Result<Value, Refusal> {
    let parameters = request.parameters();
    let malformed = |name: &str, expected: &str| Refusal::Malformed(format!("{name}: expected {expected}"));
    let since = parameters.get("since").map_or(Ok(0), |since| since.parse());
    let since = since.map_err(|_| malformed("since", "the number of a call"))?;
    let service = parameters.get("service").map(|service| serde_json::from_value::<Service>(json!(service)));
    let service = service.transpose().map_err(|_| malformed("service", "privatelink, sts, metadata or dns"))?;
    let mut calls = shared.lock().calls(since);
    calls.retain(|call| service.is_none_or(|service| service == call.service));
    Ok(json!(calls))
}

fn add_fault(shared: &Shared, request: &Request) -> Result<Value, Refusal> {
    let fault: Fault = body(request)?;
    Ok(json!({ "id": shared.lock().world.add_fault(fault) }))
}

fn open_session(shared: &Shared, request: &Request) -> Result<Value, Refusal> {
    let Opening { role, name, policy, seconds } = body(request)?;
    let expires = shared.now().shifted(seconds.saturating_mul(1000));
    let mut state = shared.lock();
    let key = state.open_session((&role, &name), policy, expires);
    let session = state.world.sessions.get(&key);
    Ok(json!({ "key": key, "session": session }))
}

/// Reads or changes the part of the world at a path.
async fn edit(shared: &Shared, method: &str, path: &[String], request: &Request) -> Result<Value, Refusal> {
    let changed = {
        let mut state = shared.lock();
        let mut value = json!(state.world);
        let known = path.first().is_none_or(|first| value.get(first).is_some());
        if !known {
            return Err(Refusal::NotFound);
        }
        match method {
            "GET" => return find(&value, path).cloned().ok_or(Refusal::NotFound),
            // Merged into one of before, a mode with parameters would be two.
            "POST" | "PATCH" if path.last().is_some_and(|last| last == "mode") => {
                *place(&mut value, path).ok_or(Refusal::NotFound)? = body(request)?;
            }
            "POST" | "PATCH" => merge(place(&mut value, path).ok_or(Refusal::NotFound)?, body(request)?),
            "PUT" => *place(&mut value, path).ok_or(Refusal::NotFound)? = body(request)?,
            "DELETE" if remove(&mut value, path) => {}
            _ => return Err(Refusal::NotFound),
        }
        let world: World = serde_json::from_value(value).map_err(|error| Refusal::Malformed(error.to_string()))?;
        state.world = world;
        json!(state.world)
    };
    shared.settle().await?;
    Ok(find(&changed, path).cloned().unwrap_or(Value::Null))
}
