//! What to do about a call without an answer.

use super::error::CallError;
use super::refusal::Class;

/// What the agent needs of RAM.
const PERMISSIONS: &str = "privatelink:ListVpcEndpoints and privatelink:ListVpcEndpointZones";

/// What to do about it, if that is known.
#[must_use]
pub fn advise(error: &CallError) -> Option<String> {
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
            "all hosts of the account share a quota a minute: set [host] fleet_size to the number of hosts"
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

    fn on(class: Class) -> Option<String> {
        let (code, message) = ("Code".to_owned(), String::new());
        advise(&CallError::Refused(Box::new(Refusal {
            class,
            status: 403,
            code,
            message,
            request_id: None,
            date: None,
        })))
    }

    #[test]
    fn a_missing_permission_is_named_even_where_the_service_does_not_say_which() {
        let denied = |action: Option<&str>| on(Class::Denied { action: action.map(str::to_owned) }).unwrap();
        assert!(
            denied(Some("privatelink:ListVpcEndpointZones")).starts_with("allow privatelink:ListVpcEndpointZones on ")
        );
        let both = "allow privatelink:ListVpcEndpoints and privatelink:ListVpcEndpointZones on ";
        assert!(denied(None).starts_with(both));
    }

    #[test]
    fn what_is_not_known_gets_no_advice() {
        assert_eq!(on(Class::Server), None);
        assert!(on(Class::Throttled { retry_after: None }).unwrap().contains("fleet_size"));
    }
}
