//! Values that are shared for as long as some holder has them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

/// The value in use for a key, or a new one. Those that no holder has any more are forgotten meanwhile.
pub(super) fn get_or_make<K: Eq + Hash, V>(map: &mut HashMap<K, Weak<V>>, key: K, make: impl FnOnce() -> V) -> Arc<V> {
    if let Some(used) = map.get(&key).and_then(Weak::upgrade) {
        return used;
    }
    map.retain(|_, value| value.strong_count() > 0);
    let value = Arc::new(make());
    map.insert(key, Arc::downgrade(&value));
    value
}
