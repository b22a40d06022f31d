//! How MatrixOne reads a user's name: `account:user` or `account:user:role`, or with `#` or `%3A` for the colons, and
//! behind a `?` labels that choose compute nodes (`frontend/authenticate.go` of its source; pure).

/// Why a name can't be one, in a sentence.
pub(super) fn malformed(user: &str) -> Option<&'static str> {
    let mut around = user.split('?');
    let (name, labels) = (around.next().unwrap_or_default(), around.next().unwrap_or_default());
    if around.next().is_some() {
        return Some("labels stand behind one `?`, and no other character of a name is one");
    }
    if !labels.is_empty() && !labels.split(',').all(is_label) {
        return Some("labels behind the `?` are written a=b, with a comma between two");
    }
    let parts = parts(name);
    if parts.len() > 3 {
        return Some("there are more parts than account, user and role");
    }
    parts
        .iter()
        .any(|part| part.is_empty() || part.trim() != *part)
        .then_some("no part of it is empty or begins or ends with a blank")
}

/// Whether a name has no account: MatrixOne looks for it in its provider's own.
pub(super) fn lacks_account(user: &str) -> bool {
    parts(user.split('?').next().unwrap_or_default()).len() == 1
}

/// Account, user and role. Only one of the delimiters counts.
fn parts(name: &str) -> Vec<&str> {
    let delimiter = [":", "#", "%3A"].into_iter().find(|delimiter| name.contains(delimiter)).unwrap_or(":");
    name.split(delimiter).collect()
}

fn is_label(label: &str) -> bool {
    matches!(label.split('=').collect::<Vec<_>>()[..], [key, value] if !key.is_empty() && !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_can_t_be_right_is_told() {
        for user in [
            ":",
            "acc1:",
            ":probe",
            "acc1:probe:",
            "acc1::readonly",
            "acc1#",
            "#probe",
            "acc1%3A",
            "%3Aprobe",
            "acc1: ",
            "acc1 :probe",
            "acc1:probe:readonly:more",
            "a#b#c#d",
            "acc1:probe?x:y",
            "acc1:probe?x",
            "acc1:probe?x=",
            "acc1:probe?=y",
            "acc1:probe?x=y,",
            "acc1:probe?x=y=z",
            "acc1:probe?x=y?z=w",
            "?x=y",
        ] {
            assert!(malformed(user).is_some(), "{user}");
        }
        for user in [
            "acc1:probe",
            "acc1:probe:readonly",
            "acc1#probe#readonly",
            "acc1%3Aprobe%3Areadonly",
            "acc1:pro#be",
            "01926ad5-7c1e-7f3a-9b2d-3c4e5f607182:probe:readonly",
            "acc1:probe?x=y",
            "acc1:probe:readonly?x=y,z=w",
            "acc1:probe?",
            "probe",
            "acc1:the probe",
        ] {
            assert_eq!(malformed(user), None, "{user}");
        }
    }

    #[test]
    fn a_name_without_an_account_is_one_of_the_provider() {
        for (user, lacks) in [
            ("probe", true),
            ("probe?x=y", true),
            ("sys:probe", false),
            ("a#b", false),
            ("a%3Ab", false),
            ("a%3ab", true),
        ] {
            assert_eq!(lacks_account(user), lacks, "{user}");
        }
    }
}
