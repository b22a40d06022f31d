//! Edits of JSON by path.

use serde_json::{Map, Value};

/// RFC 7396: objects merge, null removes, everything else replaces. So does a `mode`, even where it is an object: modes
/// with parameters are objects of one member, and two of them merged are none.
pub(super) fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(&name);
        } else if name == "mode" {
            target.insert(name, value);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// What is at a path.
pub(super) fn find<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

/// Where a path leads; objects on the way are made. None if something on the way is no object.
pub(super) fn place<'a>(mut value: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    for name in path {
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        value = value.as_object_mut()?.entry(name.clone()).or_insert(Value::Null);
    }
    Some(value)
}

/// Takes away what is at a path; whether something was.
pub(super) fn remove(value: &mut Value, path: &[String]) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let parent = parents.iter().try_fold(value, |value, name| value.get_mut(name));
    parent.and_then(Value::as_object_mut).is_some_and(|parent| parent.remove(last).is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn merges_as_the_rfc_says() {
        for (target, patch, expected) in [
            (json!({ "a": "b" }), json!({ "a": "c" }), json!({ "a": "c" })),
            (json!({ "a": "b", "b": "c" }), json!({ "a": null }), json!({ "b": "c" })),
            (json!({ "a": ["b"] }), json!({ "a": "c" }), json!({ "a": "c" })),
            (json!({ "a": { "b": "c" } }), json!({ "a": { "b": "d", "c": null } }), json!({ "a": { "b": "d" } })),
            (json!({ "mode": { "a": 1 } }), json!({ "mode": { "b": 2 } }), json!({ "mode": { "b": 2 } })),
            (json!({}), json!({ "a": { "bb": { "ccc": null } } }), json!({ "a": { "bb": {} } })),
        ] {
            let mut merged = target;
            merge(&mut merged, patch);
            assert_eq!(merged, expected);
        }
    }

    #[test]
    fn goes_by_path() {
        let mut value = json!({ "a": { "b": 1 } });
        assert_eq!(find(&value, &path("a/b")), Some(&json!(1)));
        *place(&mut value, &path("a/c/d")).unwrap() = json!(2);
        assert!(place(&mut value, &path("a/b/x")).is_none());
        assert!(remove(&mut value, &path("a/b")));
        assert!(!remove(&mut value, &path("a/b")));
        assert_eq!(value, json!({ "a": { "c": { "d": 2 } } }));
    }
}
