//! The metadata server of the ECS instance.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::reply::Reply;
use super::request::Request;
use super::{Done, wrong};
use crate::cloud::stamp::Stamp;
use crate::cloud::state::State;
use crate::cloud::world::{Host, Session, Tokens, What, World};

const TOKEN_PATH: &str = "/latest/api/token";
const TOKEN_TTL: &str = "x-aliyun-ecs-metadata-token-ttl-seconds";
const TOKEN: &str = "x-aliyun-ecs-metadata-token";
const LONGEST_TOKEN: u64 = 21_600;
const CREDENTIALS: &str = "ram/security-credentials/";

pub(super) fn answer(state: &mut State, request: &Request, struck: &[What], now: Stamp) -> Done {
    let reply = match wrong::refusal(struck) {
        Some(error) => Reply::text(error.status, format!("{}: {}", error.code, error.message)),
        None if request.path == TOKEN_PATH => token(state, request, now),
        None => read(state, request, now),
    };
    let reply = wrong::edited(reply, struck);
    let outcome = if reply.status == 200 { "ok".to_owned() } else { reply.status.to_string() };
    let token = if request.header(TOKEN).is_some() { "yes" } else { "no" };
    let parameters = BTreeMap::from([("token".to_owned(), token.to_owned())]);
    Done { reply, outcome, caller: None, key: None, nonce: None, parameters }
}

fn not_found() -> Reply {
    Reply::text(404, "404 - Not Found\n")
}

fn token(state: &mut State, request: &Request, now: Stamp) -> Reply {
    if state.world.host.tokens == Tokens::Unsupported {
        return not_found();
    }
    if request.method != "PUT" {
        return Reply::text(405, "405 - Method Not Allowed\n");
    }
    let ttl = request.header(TOKEN_TTL).and_then(|ttl| ttl.parse().ok());
    let Some(ttl) = ttl.filter(|ttl| (1..=LONGEST_TOKEN).contains(ttl)) else {
        return Reply::text(400, "400 - Bad Request\n");
    };
    let token = state.ledger.invent("metadata token", 56);
    state.ledger.metadata_tokens.retain(|_, until| *until > now);
    state.ledger.metadata_tokens.insert(token.clone(), now.plus(Duration::from_secs(ttl)));
    Reply::text(200, token)
}

fn read(state: &mut State, request: &Request, now: Stamp) -> Reply {
    if request.method != "GET" {
        return Reply::text(405, "405 - Method Not Allowed\n");
    }
    let tokens = state.world.host.tokens;
    match request.header(TOKEN) {
        // Old instances ignore the header.
        _ if tokens == Tokens::Unsupported => {}
        None if tokens == Tokens::Required => return Reply::text(403, "403 - Forbidden\n"),
        None => {}
        Some(token) => match state.ledger.metadata_tokens.get(token) {
            Some(until) if *until > now => {}
            _ => return Reply::text(401, "401 - Unauthorized\n"),
        },
    }
    let Some(path) =
        ["/latest/meta-data/", "/2016-01-01/meta-data/"].iter().find_map(|at| request.path.strip_prefix(at))
    else {
        return if request.path == "/latest/dynamic/instance-identity/document" {
            identity_document(&state.world)
        } else {
            not_found()
        };
    };
    if let Some(fixed) = state.world.host.metadata.get(path) {
        return fixed.as_ref().map_or_else(not_found, |text| Reply::text(200, text.clone()));
    }
    match path.strip_prefix(CREDENTIALS) {
        Some(role) => credentials(state, role, now),
        None => plain(&state.world, path).map_or_else(not_found, |text| Reply::text(200, text)),
    }
}

fn plain(world: &World, path: &str) -> Option<String> {
    let Host { zone_id, vpc_id, vpc_cidr, vswitch_id, vswitch_cidr, instance_id, .. } = &world.host;
    let Host { private_ipv4, mac, hostname, nameservers, .. } = &world.host;
    let text = match path {
        "region-id" => &world.region,
        "zone-id" => zone_id,
        "vpc-id" => vpc_id,
        "vpc-cidr-block" => vpc_cidr,
        "vswitch-id" => vswitch_id,
        "vswitch-cidr-block" => vswitch_cidr,
        "instance-id" => instance_id,
        "private-ipv4" => private_ipv4,
        "mac" => mac,
        "owner-account-id" => &world.account,
        "hostname" => hostname,
        "network-type" => "vpc",
        "dns-conf/nameservers" => &nameservers.join("\n"),
        "network/interfaces/macs/" => &format!("{mac}/"),
        _ => return None,
    };
    Some(text.to_owned())
}

fn identity_document(world: &World) -> Reply {
    let host = &world.host;
    Reply::json(
        200,
        &json!({
            "owner-account-id": world.account,
            "region-id": world.region,
            "zone-id": host.zone_id,
            "instance-id": host.instance_id,
            "private-ipv4": host.private_ipv4,
            "mac": host.mac,
        }),
    )
}

/// The role's name, or its credentials: the same ones until they are about to end.
fn credentials(state: &mut State, role: &str, now: Stamp) -> Reply {
    let Some(attached) = state.world.host.role.clone() else { return not_found() };
    if role.is_empty() {
        return Reply::text(200, attached);
    }
    if role != attached || !state.world.roles.contains_key(role) {
        return not_found();
    }
    let host = &state.world.host;
    let (lasts, renewed) = (Duration::from_secs(host.role_seconds), Duration::from_secs(host.role_renewed_before));
    let code = host.role_code.clone();
    let instance = host.instance_id.clone();
    let good = |session: &Session| session.role == role && session.expires > now.plus(renewed);
    let kept = state.ledger.host_session.take().filter(|key| state.world.sessions.get(key).is_some_and(good));
    let key = kept.unwrap_or_else(|| state.open_session((role, &instance), None, now.plus(lasts)));
    state.ledger.host_session = Some(key.clone());
    let Some(session) = state.world.sessions.get(&key) else { return not_found() };
    if code != "Success" {
        return Reply::json(200, &json!({ "Code": code, "LastUpdated": now.iso() }));
    }
    Reply::json(
        200,
        &json!({
            "AccessKeyId": key,
            "AccessKeySecret": session.secret,
            "Expiration": session.expires.iso(),
            "SecurityToken": session.token,
            "LastUpdated": now.iso(),
            "Code": code,
        }),
    )
}
