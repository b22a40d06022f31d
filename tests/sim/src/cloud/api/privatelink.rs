//! The PrivateLink API.

use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::openapi::Asked;
use super::page::page;
use crate::cloud::state::State;
use crate::cloud::world::{Endpoint, World, Zone};

pub(super) const VERSION: &str = "2020-04-15";

const LIST: &str = "ListVpcEndpoints";
const GET: &str = "GetVpcEndpointAttribute";
const ZONES: &str = "ListVpcEndpointZones";
const GROUPS: &str = "ListVpcEndpointSecurityGroups";
pub(super) const ACTIONS: [&str; 4] = [LIST, GET, ZONES, GROUPS];

pub(super) fn act(state: &State, asked: &Asked<'_>) -> Result<Value, ApiError> {
    let world = &state.world;
    if asked.need("RegionId")? != world.region {
        let message = "The specified region does not exist or is not supported.";
        return Err(ApiError::new(404, "InvalidRegionId.NotFound", message));
    }
    if asked.action == LIST {
        asked.authorized(state, &world.endpoint_arn("*"))?;
        return page(asked, &world.api, "Endpoints", list(world, asked));
    }
    let id = asked.need("EndpointId")?;
    asked.authorized(state, &world.endpoint_arn(id))?;
    let endpoint = world.endpoints.get(id).filter(|endpoint| endpoint.listed).ok_or_else(ApiError::no_such_endpoint)?;
    match asked.action {
        GET => Ok(attribute(world, id, endpoint)),
        ZONES => page(asked, &world.api, "Zones", zones(world, id, endpoint)),
        GROUPS => page(asked, &world.api, "SecurityGroups", groups(endpoint)),
        _ => Err(ApiError::no_such_action()),
    }
}

fn list(world: &World, asked: &Asked<'_>) -> Vec<Value> {
    let listed = world.endpoints.iter().filter(|(_, endpoint)| endpoint.listed);
    let entries = listed.map(|(id, endpoint)| (fields(world, id, endpoint), tags(endpoint)));
    let wanted = entries.filter(|(fields, _)| FILTERS.iter().all(|name| passes(asked, name, fields.get(*name))));
    let tagged = wanted.filter(|(_, tags)| has_tags(asked, tags));
    tagged
        .map(|(mut fields, tags)| {
            fields.insert("Tags".to_owned(), Value::Array(tags));
            Value::Object(fields)
        })
        .collect()
}

/// The parameters of the list, each of which compares the field of its name.
const FILTERS: [&str; 10] = [
    "VpcId",
    "EndpointId",
    "EndpointName",
    "EndpointType",
    "EndpointStatus",
    "ConnectionStatus",
    "ServiceName",
    "ServiceRegionId",
    "AddressIpVersion",
    "ResourceGroupId",
];

fn passes(asked: &Asked<'_>, name: &str, field: Option<&Value>) -> bool {
    asked.get(name).is_none_or(|wanted| field.and_then(Value::as_str) == Some(wanted))
}

fn has_tags(asked: &Asked<'_>, tags: &[Value]) -> bool {
    (1..=20).all(|n| {
        let Some(key) = asked.get(&format!("Tag.{n}.Key")) else { return true };
        let value = asked.get(&format!("Tag.{n}.Value"));
        tags.iter().any(|tag| tag["Key"] == key && value.is_none_or(|value| tag["Value"] == value))
    })
}

fn tags(endpoint: &Endpoint) -> Vec<Value> {
    endpoint.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect()
}

/// What both the list and the attributes have.
fn fields(world: &World, id: &str, endpoint: &Endpoint) -> Map<String, Value> {
    let service_region = endpoint.service_region.as_deref().unwrap_or(&world.region);
    let fields = json!({
        "EndpointId": id,
        "EndpointName": endpoint.name,
        "EndpointDescription": endpoint.description,
        "EndpointDomain": endpoint.domain(id, &world.region),
        "EndpointStatus": endpoint.status,
        "EndpointBusinessStatus": endpoint.business_status,
        "ConnectionStatus": endpoint.connection_status,
        "EndpointType": endpoint.endpoint_type,
        "RegionId": world.region,
        "VpcId": endpoint.vpc_id,
        "ResourceGroupId": endpoint.resource_group_id,
        "ServiceId": endpoint.service_id,
        "ServiceName": format!("com.aliyuncs.privatelink.{service_region}.{}", endpoint.service_id),
        "ServiceRegionId": service_region,
        "Bandwidth": endpoint.bandwidth,
        "AddressIpVersion": endpoint.address_ip_version,
        "ResourceOwner": false,
        "ZoneAffinityEnabled": endpoint.zone_affinity,
        "ProtectedEnabled": false,
        "PolicyDocument": "",
        "CreateTime": endpoint.create_time,
    });
    let Value::Object(mut fields) = fields else { return Map::new() };
    if endpoint.service_region.is_some() {
        fields.insert("CrossRegionBandwidth".to_owned(), json!(endpoint.bandwidth));
    }
    fields
}

fn attribute(world: &World, id: &str, endpoint: &Endpoint) -> Value {
    let mut fields = fields(world, id, endpoint);
    fields.insert("Payer".to_owned(), json!("Endpoint"));
    fields.insert("ZonePrivateIpAddressCount".to_owned(), json!(1));
    Value::Object(fields)
}

fn zones(world: &World, id: &str, endpoint: &Endpoint) -> Vec<Value> {
    let listed = endpoint.zones.iter().filter(|(_, zone)| zone.listed);
    listed.map(|(name, zone)| entry(world, &endpoint.zone_domain(id, name, &world.region), (name, zone))).collect()
}

fn entry(world: &World, domain: &str, (name, zone): (&str, &Zone)) -> Value {
    let mut entry = Map::new();
    let mut put = |field: &str, value: Value| entry.insert(field.to_owned(), value);
    put("ZoneId", json!(name));
    put("ZoneStatus", json!(zone.status));
    put("ZoneDomain", json!(domain));
    put("VSwitchId", json!(zone.vswitch_id));
    put("RegionId", json!(world.region));
    // The published sample shows this very text where there is none.
    put("ZoneIpv6Address", zone.eni_ipv6.map_or_else(|| json!("false"), |ip| json!(ip)));
    if let Some(id) = &zone.eni_id {
        put("EniId", json!(id));
    }
    if let Some(ip) = zone.eni_ip {
        put("EniIp", json!(ip));
    }
    Value::Object(entry)
}

fn groups(endpoint: &Endpoint) -> Vec<Value> {
    let entry = |(id, status): (&String, &String)| json!({ "SecurityGroupId": id, "SecurityGroupStatus": status });
    endpoint.security_groups.iter().map(entry).collect()
}
