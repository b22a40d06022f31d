//! The PrivateLink API, the part that only reads: which endpoints there are, and which zones and addresses each has.

pub mod parse;
pub mod record;

pub use parse::{Listing, Page};
pub use record::{EndpointRecord, ZoneRecord};

use super::openapi::api_hosts::{Hosts, OriginError};
use super::openapi::{Call, CallError, Client, KeySource, Malformed};
use super::sign::Params;
use crate::model::{EndpointId, EndpointType};
use parse::Pages;
use record::Record;

/// The version of the API.
const VERSION: &str = "2020-04-15";
/// The product's part of the host name.
const PRODUCT: &str = "privatelink";
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
    client: Client,
    region: String,
}

impl PrivateLink {
    /// Over a client of that region's [`hosts`](Self::hosts).
    #[must_use]
    pub fn new(client: Client, region: String) -> Self {
        Self { client, region }
    }

    /// Where the API of a region answers.
    ///
    /// # Errors
    /// If the region is not one that fits into a host name.
    pub fn hosts(region: &str) -> Result<Hosts, OriginError> {
        Hosts::regional(PRODUCT, region)
    }

    /// The client, for its counts.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The endpoints of the account in the region.
    ///
    /// # Errors
    /// [`CallError`]; then there is no list at all.
    pub async fn endpoints(
        &self,
        keys: &impl KeySource,
        filter: Filter<'_>,
    ) -> Result<Listing<EndpointRecord>, CallError> {
        let mut params = self.params();
        set(&mut params, "EndpointType", EndpointType::Interface.label());
        if let Some(vpc) = filter.vpc_id {
            set(&mut params, "VpcId", vpc);
        }
        if let Some(id) = filter.id {
            set(&mut params, "EndpointId", id.as_str());
        }
        self.list(keys, "ListVpcEndpoints", params, parse::endpoints).await
    }

    /// The zones of one endpoint.
    ///
    /// # Errors
    /// [`CallError`]; then there is no list at all.
    pub async fn zones(&self, keys: &impl KeySource, id: &EndpointId) -> Result<Listing<ZoneRecord>, CallError> {
        let mut params = self.params();
        set(&mut params, "EndpointId", id.as_str());
        self.list(keys, "ListVpcEndpointZones", params, parse::zones).await
    }

    /// One endpoint.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn endpoint(&self, keys: &impl KeySource, id: &EndpointId) -> Result<EndpointRecord, CallError> {
        let mut params = self.params();
        set(&mut params, "EndpointId", id.as_str());
        let call = Call { action: "GetVpcEndpointAttribute", version: VERSION, params: &params, form: b"" };
        let record = self.client.call(keys, &call, parse::endpoint).await?;
        // Of another endpoint is no answer.
        if record.id == *id {
            Ok(record)
        } else {
            Err(CallError::Malformed(Malformed::Missing("the EndpointId asked")))
        }
    }

    async fn list<T: Record>(
        &self,
        keys: &impl KeySource,
        action: &'static str,
        mut params: Params,
        read: fn(&[u8]) -> Result<Page<T>, Malformed>,
    ) -> Result<Listing<T>, CallError> {
        set(&mut params, "MaxResults", PAGE);
        let mut pages = Pages::default();
        loop {
            let call = Call { action, version: VERSION, params: &params, form: b"" };
            let page = self.client.call(keys, &call, read).await?;
            match pages.add(page).map_err(CallError::Malformed)? {
                Some(token) => set(&mut params, "NextToken", &token),
                None => return Ok(pages.listing()),
            }
        }
    }

    fn params(&self) -> Params {
        let mut params = Params::new();
        set(&mut params, "RegionId", &self.region);
        params
    }
}

fn set(params: &mut Params, name: &str, value: &str) {
    params.insert(name.to_owned(), value.to_owned());
}
