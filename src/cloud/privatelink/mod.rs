//! The PrivateLink API, the part that only reads: which endpoints there are, and which zones and addresses each has.

pub mod parse;
pub mod record;

pub use parse::{Listing, Page};
pub use record::{EndpointRecord, ZoneRecord};

use super::openapi::{Call, CallError, Client, KeySource, Malformed};
use super::sign::{Params, params};
use crate::model::{EndpointId, EndpointType};
use parse::Pages;
use record::Record;

/// The version of the API.
const VERSION: &str = "2020-04-15";
/// The product's part of the host name.
pub const PRODUCT: &str = "privatelink";
/// Items on a page. Newer documentation allows 1000, the older 50.
const PAGE: &str = "50";

/// Which endpoints to list. Only interface endpoints are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filter<'a> {
    /// Of one VPC.
    pub vpc_id: Option<&'a str>,
    /// One endpoint.
    pub id: Option<&'a EndpointId>,
}

/// A client of one region.
#[derive(Debug)]
pub struct PrivateLink {
    /// Of that region's [`Hosts`](super::openapi::api_hosts::Hosts).
    pub client: Client,
    /// Such as `cn-hangzhou`.
    pub region: String,
}

impl PrivateLink {
    /// The endpoints of the account in the region.
    ///
    /// # Errors
    /// [`CallError`]; then there is no list at all.
    pub async fn endpoints(
        &self,
        keys: &impl KeySource,
        filter: Filter<'_>,
    ) -> Result<Listing<EndpointRecord>, CallError> {
        let interface = ("EndpointType", Some(EndpointType::Interface.label()));
        let asked = params(&[interface, ("VpcId", filter.vpc_id), ("EndpointId", filter.id.map(EndpointId::as_str))]);
        self.list(keys, "ListVpcEndpoints", asked, parse::endpoints).await
    }

    /// The zones of one endpoint.
    ///
    /// # Errors
    /// [`CallError`]; then there is no list at all.
    pub async fn zones(&self, keys: &impl KeySource, id: &EndpointId) -> Result<Listing<ZoneRecord>, CallError> {
        self.list(keys, "ListVpcEndpointZones", params(&[("EndpointId", Some(id.as_str()))]), parse::zones).await
    }

    async fn list<T: Record>(
        &self,
        keys: &impl KeySource,
        action: &'static str,
        mut asked: Params,
        read: fn(&[u8]) -> Result<Page<T>, Malformed>,
    ) -> Result<Listing<T>, CallError> {
        asked.extend(params(&[("RegionId", Some(&self.region)), ("MaxResults", Some(PAGE))]));
        let mut pages = Pages::default();
        loop {
            let call = Call { action, version: VERSION, params: &asked, form: b"" };
            let page = self.client.call(keys, &call, read).await?;
            match pages.add(page).map_err(CallError::Malformed)? {
                Some(token) => _ = asked.insert("NextToken".to_owned(), token),
                None => return Ok(pages.listing()),
            }
        }
    }
}
