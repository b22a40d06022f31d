//! What we know of the machine we run on.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ZoneId;

/// Region, zone and identity of this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// The zone that counts as local.
    pub zone: Option<ZoneId>,
    /// The cloud region.
    pub region: Option<String>,
    /// The VPC.
    pub vpc_id: Option<String>,
    /// The ECS instance.
    pub instance_id: Option<String>,
    /// What it calls itself.
    pub hostname: Option<String>,
    /// Which machine, for telling our own state from another machine's.
    pub identity: Identity,
    /// Set once the metadata service has shown that what was found in the cache is another machine's: by what. Nothing
    /// of it counts any more.
    pub foreign_cache: Option<IdentityPart>,
    /// The metadata service has yet to be asked: what is not known may be told in a moment.
    #[serde(default)]
    pub awaited: bool,
}

impl HostFacts {
    /// Whether it is too early to say that the region is not known.
    #[must_use]
    pub fn awaits_region(&self) -> bool {
        self.awaited && self.region.is_none()
    }
}

/// Named parts that together tell one machine from another (B12). A part that only one side could read is no
/// mismatch. Parts of the machine itself are digests, because state files are readable by others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Digest of `/etc/machine-id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// Digest of the DMI product UUID, where it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_uuid: Option<String>,
    /// The ECS instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// The VPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    /// The region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// The name of one part of an [`Identity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityPart {
    /// `/etc/machine-id`.
    MachineId,
    /// DMI product UUID.
    ProductUuid,
    /// ECS instance.
    InstanceId,
    /// VPC.
    VpcId,
    /// Region.
    Region,
}

impl fmt::Display for IdentityPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::MachineId => "machine id",
            Self::ProductUuid => "product uuid",
            Self::InstanceId => "instance id",
            Self::VpcId => "VPC",
            Self::Region => "region",
        })
    }
}

impl Identity {
    /// The first part that both sides know and that differs, if any: then the other side is another machine.
    #[must_use]
    pub fn mismatch(&self, other: &Self) -> Option<IdentityPart> {
        let Self { machine_id, product_uuid, instance_id, vpc_id, region } = self;
        let parts = [
            (IdentityPart::MachineId, machine_id, &other.machine_id),
            (IdentityPart::ProductUuid, product_uuid, &other.product_uuid),
            (IdentityPart::InstanceId, instance_id, &other.instance_id),
            (IdentityPart::VpcId, vpc_id, &other.vpc_id),
            (IdentityPart::Region, region, &other.region),
        ];
        parts.into_iter().find(|(_, a, b)| matches!((a, b), (Some(a), Some(b)) if a != b)).map(|(part, ..)| part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_that_both_know_can_differ() {
        let here = Identity { machine_id: Some("a".into()), ..Identity::default() };
        assert_eq!(here.mismatch(&Identity::default()), None);
        assert_eq!(here.mismatch(&here.clone()), None);
        let there = Identity { machine_id: Some("b".into()), region: Some("x".into()), ..Identity::default() };
        assert_eq!(here.mismatch(&there), Some(IdentityPart::MachineId));
    }
}
