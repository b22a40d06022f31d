//! The source that reads the config's own `addresses`.

use super::source::{FoundZone, Source, SourceAnswer, SourceError, Wanted};
use crate::config::EndpointConfig;
use crate::model::{SourceKind, Zone, ZoneId};

/// Fixed addresses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fixed;

impl Source for Fixed {
    fn kind(&self) -> SourceKind {
        SourceKind::Fixed
    }

    async fn find(&self, wanted: Wanted<'_>) -> Result<SourceAnswer, SourceError> {
        Self::given(wanted.config)
    }
}

impl Fixed {
    /// What the config gives of an endpoint. Asks no server.
    ///
    /// # Errors
    /// [`SourceError::NotConfigured`] if that is nothing.
    pub fn given(config: &EndpointConfig) -> Result<SourceAnswer, SourceError> {
        let addresses = &config.addresses;
        if addresses.is_empty() {
            return Err(SourceError::NotConfigured("addresses"));
        }
        let zone = |(zone, list): (&ZoneId, &Vec<_>)| {
            (Zone::Known(zone.clone()), FoundZone::from_addresses(list.iter().copied()))
        };
        Ok(SourceAnswer { zones: addresses.iter().map(zone).collect(), ..SourceAnswer::default() })
    }
}
