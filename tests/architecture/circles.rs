//! Circles among files: those that import each other, straight or by way of others, can be read only together.
//!
//! Tests don't count. Neither does what a module re-exports of its own children and does not use itself: that is the
//! children's front door, and they need not know of it.

use std::collections::{BTreeMap, BTreeSet};

use super::walk::House;

/// By file: the files that it mentions.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// The circles of a house; each is the files that reach each other, sorted.
pub(super) fn circles(house: &House) -> Vec<Vec<String>> {
    let graph: Graph = house.imports();
    let reached: Graph = graph.keys().map(|file| (file.clone(), reached_from(&graph, file))).collect();
    let circle = |file: &String| {
        let back = reached[file].iter().filter(|other| reached.get(*other).is_some_and(|of| of.contains(file)));
        back.cloned().collect::<Vec<_>>()
    };
    let circles: BTreeSet<Vec<String>> = graph.keys().map(circle).filter(|files| files.len() > 1).collect();
    circles.into_iter().collect()
}

fn reached_from(graph: &Graph, start: &str) -> BTreeSet<String> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![start]);
    while let Some(file) = next.pop() {
        for target in graph.get(file).into_iter().flatten() {
            if reached.insert(target.clone()) {
                next.push(target);
            }
        }
    }
    reached
}
