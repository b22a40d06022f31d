//! The source that reads the config's own `addresses`.

use super::{Found, Source, SourceError};
use crate::config::EndpointConfig;
use crate::model::{SourceKind, Zone};

/// Fixed addresses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fixed;

impl Source for Fixed {
    fn kind(&self) -> SourceKind {
        SourceKind::Fixed
    }

    async fn find(&self, endpoint: &EndpointConfig) -> Result<Found, SourceError> {
        if endpoint.addresses.is_empty() {
            return Err(SourceError::NotConfigured("addresses"));
        }
        let zone = |(zone, list): (&crate::model::ZoneId, &Vec<_>)| {
            (Zone::Known(zone.clone()), list.iter().copied().collect())
        };
        Ok(Found { zones: endpoint.addresses.iter().map(zone).collect() })
    }
}
