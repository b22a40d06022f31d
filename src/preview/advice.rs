//! What to do about a source that can't tell.

use crate::cloud::openapi::error::CallError;
use crate::cloud::openapi::refusal::Class;
use crate::discover::SourceError;

/// What the agent needs of RAM.
const PERMISSIONS: &str = "privatelink:ListVpcEndpoints and privatelink:ListVpcEndpointZones";

/// The error in a sentence, with what to do about it if that is known.
#[must_use]
pub fn error_with_advice(error: &SourceError) -> String {
    let advice = match error {
        SourceError::Call(error) => advise_on_call(error),
        SourceError::IncompleteList | SourceError::NoApi(_) | SourceError::Resolve(_) => None,
    };
    advice.map_or_else(|| error.to_string(), |advice| format!("{error}: {advice}"))
}

/// What to do about a call without an answer.
#[must_use]
pub fn advise_on_call(error: &CallError) -> Option<String> {
    match error {
        CallError::NoKeys(_) => Some(format!("attach a RAM role to this instance whose policy allows {PERMISSIONS}")),
        CallError::Transport(_) | CallError::Malformed(_) => None,
        CallError::Refused(refusal) => advise_on_refusal(&refusal.class),
    }
}

fn advise_on_refusal(class: &Class) -> Option<String> {
    let advice = match class {
        Class::Denied { action } => {
            let action = action.as_deref().unwrap_or(PERMISSIONS);
            &format!("allow {action} on acs:privatelink:*:*:vpcendpoint/* in the RAM policy of the role or user")
        }
        Class::Throttled { .. } => {
            "all hosts of the account share this quota: try again in a minute, and set [host] fleet_size to the number of hosts"
        }
        Class::ClockSkew => "set the clock of this host",
        Class::BadCredentials | Class::Token => {
            "the keys that were found are wrong, inactive or over: replace them, or use a RAM role"
        }
        Class::ProductOff => "activate PrivateLink for this account",
        Class::BadCall => "is the region the right one?",
        Class::NonceUsed | Class::NotFound | Class::Busy | Class::Server | Class::Other => return None,
    };
    Some(advice.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::openapi::refusal::Refusal;

    fn refused(class: Class) -> SourceError {
        let refusal = Refusal {
            class,
            status: 403,
            code: "Code".to_owned(),
            message: String::new(),
            request_id: None,
            date: None,
        };
        SourceError::Call(CallError::Refused(Box::new(refusal)))
    }

    #[test]
    fn a_missing_permission_is_named_even_where_the_service_does_not_say_which() {
        let denied =
            |action: Option<&str>| error_with_advice(&refused(Class::Denied { action: action.map(str::to_owned) }));
        assert!(
            denied(Some("privatelink:ListVpcEndpointZones")).contains("allow privatelink:ListVpcEndpointZones on ")
        );
        assert!(denied(None).contains("allow privatelink:ListVpcEndpoints and privatelink:ListVpcEndpointZones on "));
    }

    #[test]
    fn what_is_not_known_gets_no_advice() {
        let error = SourceError::IncompleteList;
        assert_eq!(error_with_advice(&error), error.to_string());
        assert!(error_with_advice(&refused(Class::Throttled { retry_after: None })).contains("fleet_size"));
    }
}
