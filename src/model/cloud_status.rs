//! What the cloud says of an endpoint and its zones, in its own words (PrivateLink 2020-04-15, the enums of the
//! official SDK 4.0.9). Words are taken in any case; one that is not known is kept as it is and means nothing to us.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! status {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A word that this version does not know.
            Other(String),
        }

        impl $name {
            /// Every known one.
            pub const KNOWN: &[Self] = &[$(Self::$variant),+];

            /// The cloud's word.
            #[must_use]
            pub fn label(&self) -> &str {
                match self {
                    $(Self::$variant => stringify!($variant),)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<String> for $name {
            fn from(word: String) -> Self {
                let known = Self::KNOWN.iter().find(|known| known.label().eq_ignore_ascii_case(&word));
                known.cloned().unwrap_or_else(|| Self::Other(tame(&word)))
            }
        }

        impl From<$name> for String {
            fn from(status: $name) -> Self {
                status.label().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.label())
            }
        }
    };
}

status! {
    /// `EndpointStatus`
    EndpointStatus {
        /// Being made.
        Creating,
        /// There.
        Active,
        /// Being changed.
        Pending,
        /// Being deleted.
        Deleting,
    }
}

status! {
    /// `EndpointBusinessStatus`
    BusinessStatus {
        /// Paid for.
        Normal,
        /// Payment is overdue.
        FinancialLocked,
    }
}

status! {
    /// `ConnectionStatus`
    ConnectionStatus {
        /// The provider of the service has not accepted it yet.
        Pending,
        /// Being set up.
        Connecting,
        /// Set up.
        Connected,
        /// Being taken down.
        Disconnecting,
        /// Taken down.
        Disconnected,
        /// Being deleted.
        Deleting,
        /// The provider has deleted the service.
        ServiceDeleted,
    }
}

status! {
    /// `ZoneStatus`
    ZoneStatus {
        /// Being made.
        Creating,
        /// Made; waits for its connection.
        Wait,
        /// Being connected.
        Connecting,
        /// Connected.
        Connected,
        /// Being taken down.
        Disconnecting,
        /// Taken down.
        Disconnected,
        /// Being deleted.
        Deleting,
        /// Deleted.
        Deleted,
        /// The provider moves it to another resource.
        Migrating,
        /// It has been moved, and works.
        Migrated,
    }
}

status! {
    /// `EndpointType`
    EndpointType {
        /// With network interfaces in the VPC: ours.
        Interface,
        /// For services that come into the VPC.
        Reverse,
        /// For appliances.
        GatewayLoadBalancer,
    }
}

/// An unknown word as it can be shown anywhere: the cloud's words are letters, and short.
fn tame(word: &str) -> String {
    const LONGEST: usize = 40;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let tame: String = word.chars().filter(|c| good(*c)).take(LONGEST).collect();
    if tame.is_empty() { "none".to_owned() } else { tame }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_in_any_case_and_unknown_ones_are_tamed() {
        assert_eq!(ZoneStatus::from("connected".to_owned()), ZoneStatus::Connected);
        assert_eq!(ConnectionStatus::from("SERVICEDELETED".to_owned()), ConnectionStatus::ServiceDeleted);
        let odd = EndpointStatus::from("Half\nOpen\"}".to_owned());
        assert_eq!((odd.label(), odd.clone()), ("HalfOpen", EndpointStatus::Other("HalfOpen".to_owned())));
        assert_eq!(BusinessStatus::from(String::new()).label(), "none");
        assert_eq!(ZoneStatus::from("x".repeat(1_000)).label().len(), 40);
        for status in ZoneStatus::KNOWN {
            let json = serde_json::to_string(status).unwrap();
            assert_eq!(serde_json::from_str::<ZoneStatus>(&json).unwrap(), *status);
        }
    }
}
