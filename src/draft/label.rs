//! Labels of endpoints, made of what people call them.

use std::collections::BTreeSet;

use crate::model::{EndpointId, EndpointName};

/// The longest that leaves room for a number behind it; a label has 63 at most.
const LONGEST: usize = 50;

/// A label that no endpoint has: made of the name that people gave the endpoint, else of its id. `None` only if the id
/// is none.
///
/// It is the name in lower case, with a hyphen for whatever a label can't have. It is added to those that are `taken`.
pub fn unused_label(name: Option<&str>, id: &EndpointId, taken: &mut BTreeSet<EndpointName>) -> Option<EndpointName> {
    let base =
        name.map(label_characters).filter(|tame| !tame.is_empty()).unwrap_or_else(|| label_characters(id.as_str()));
    // One more than there are taken, so that one of them is free.
    let numbered = (1..=taken.len() + 1).map(|n| if n == 1 { base.clone() } else { format!("{base}-{n}") });
    let label = numbered.filter_map(|text| text.parse::<EndpointName>().ok()).find(|label| !taken.contains(label))?;
    taken.insert(label.clone());
    Some(label)
}

fn label_characters(text: &str) -> String {
    let mut tame = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if tame.len() == LONGEST {
            break;
        }
        match c {
            'a'..='z' | '0'..='9' | '_' => tame.push(c),
            _ if tame.is_empty() || tame.ends_with('-') => {}
            _ => tame.push('-'),
        }
    }
    tame.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id() -> EndpointId {
        "ep-bp1i2x3y4z".parse().unwrap()
    }

    fn made(name: &str) -> String {
        unused_label(Some(name), &id(), &mut BTreeSet::new()).unwrap().to_string()
    }

    #[test]
    fn a_name_is_kept_as_far_as_a_label_can_have_it() {
        for (name, label) in [
            ("orders", "orders"),
            ("Orders DB (prod)", "orders-db-prod"),
            ("  --a__b--  ", "a__b"),
            ("订单库", "ep-bp1i2x3y4z"),
            ("订单 orders", "orders"),
            ("\"]\n[cloud]", "cloud"),
            ("", "ep-bp1i2x3y4z"),
        ] {
            assert_eq!(made(name), label, "{name:?}");
        }
        assert_eq!(unused_label(None, &id(), &mut BTreeSet::new()).unwrap().as_str(), "ep-bp1i2x3y4z");
    }

    proptest! {
        #[test]
        fn every_endpoint_gets_a_label_of_its_own(names in proptest::collection::vec(".{0,80}|[a-c]{0,2}", 0..40)) {
            let mut taken = BTreeSet::new();
            let labels: BTreeSet<_> = names.iter().map(|name| unused_label(Some(name), &id(), &mut taken).unwrap()).collect();
            prop_assert_eq!(labels.len(), names.len());
        }
    }
}
