//! Circles among files: those that import each other, straight or by way of others, can be read only together.
//!
//! Tests don't count. Neither does what a module re-exports of its own children and does not use itself: that is the
//! children's front door, and they need not know of it.

use std::collections::{BTreeMap, BTreeSet};

use super::walk::House;

/// By file: the files that it mentions.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// Where files still import each other: folders, each with the reason. The list may only shrink.
pub(super) const KNOWN: &[(&str, &str)] = &[
    (
        "src/cli/",
        "commands share their exit codes and the output with the parser of the command line, which calls them",
    ),
    ("src/cloud/credentials/", "each provider is called by what it gives its keys to"),
    ("src/config/", "the sections of a check share their context with the check that calls them"),
    ("src/probe/", "a handshake and its guards, and a prober and what it is made of, know each other"),
    ("src/steer/", "the steps of a decision share its types with the decision"),
];

/// Whether all these files lie where circles are known.
pub(super) fn is_known(circle: &[String]) -> bool {
    KNOWN.iter().any(|(folder, _)| circle.iter().all(|file| file.starts_with(folder)))
}

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
