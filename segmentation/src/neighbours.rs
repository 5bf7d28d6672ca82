//! The faces around each group of regions, while groups are joined.

use std::collections::BTreeMap;

use crate::merge::{Face, RegionGraph};

/// For each group, its faces by the group on the other side, ascending.
pub(crate) struct Neighbours(Vec<Around>);

/// The faces around one group.
///
/// Nearly all groups have a dozen, of which a sorted list takes far less memory than a tree; into that of
/// the background, which has very many, faces must go without moving all others.
enum Around {
    Few(Vec<(u32, Face)>),
    Many(BTreeMap<u32, Face>),
}

/// More faces than this are kept in a tree.
const FEW: usize = 64;

impl Neighbours {
    /// The regions of a graph, each a group.
    pub(crate) fn new(graph: &RegionGraph) -> Self {
        let mut counts = vec![0; graph.n_regions()];
        for (a, b, _) in graph.faces() {
            counts[a as usize] += 1;
            counts[b as usize] += 1;
        }
        let mut groups: Vec<_> = counts.into_iter().map(Around::with_room_for).collect();
        for (a, b, face) in graph.faces() {
            groups[a as usize].insert(b, face);
            groups[b as usize].insert(a, face);
        }
        Self(groups)
    }

    /// How many groups a group touches.
    pub(crate) fn count(&self, group: u32) -> usize {
        match &self.0[group as usize] {
            Around::Few(list) => list.len(),
            Around::Many(tree) => tree.len(),
        }
    }

    /// The face between two groups, if they touch.
    pub(crate) fn face(&self, a: u32, b: u32) -> Option<Face> {
        self.0[a as usize].get(b)
    }

    /// The groups that a group touches, and the faces between.
    pub(crate) fn of(&self, group: u32) -> impl Iterator<Item = (u32, Face)> + '_ {
        let (list, tree) = match &self.0[group as usize] {
            Around::Few(list) => (Some(list), None),
            Around::Many(tree) => (None, Some(tree)),
        };
        let (list, tree) = (list.into_iter().flatten(), tree.into_iter().flatten());
        list.copied().chain(tree.map(|(&other, &face)| (other, face)))
    }

    /// Gives the faces of `gone` to `kept`, and tells of each that `kept` then has.
    pub(crate) fn join(&mut self, gone: u32, kept: u32, mut changed: impl FnMut(u32, Face)) {
        let moved: Vec<_> = self.of(gone).collect();
        self.0[gone as usize] = Around::with_room_for(0);
        for (other, face) in moved {
            self.0[other as usize].remove(gone);
            if other != kept {
                let sum = self.face(kept, other).unwrap_or_default().with(face);
                self.0[kept as usize].insert(other, sum);
                self.0[other as usize].insert(kept, sum);
                changed(other, sum);
            }
        }
    }
}

impl Around {
    fn with_room_for(n: usize) -> Self {
        if n > FEW { Self::Many(BTreeMap::new()) } else { Self::Few(Vec::with_capacity(n)) }
    }

    fn get(&self, other: u32) -> Option<Face> {
        match self {
            Self::Few(list) => place(list, other).ok().map(|at| list[at].1),
            Self::Many(tree) => tree.get(&other).copied(),
        }
    }

    fn remove(&mut self, other: u32) {
        match self {
            Self::Few(list) => {
                if let Ok(at) = place(list, other) {
                    list.remove(at);
                }
            }
            Self::Many(tree) => {
                tree.remove(&other);
            }
        }
    }

    /// Puts a face in the place of the one that was there.
    fn insert(&mut self, other: u32, face: Face) {
        match self {
            Self::Few(list) => match place(list, other) {
                Ok(at) => list[at].1 = face,
                Err(at) if list.len() < FEW => list.insert(at, (other, face)),
                Err(_) => {
                    let mut tree: BTreeMap<_, _> = list.drain(..).collect();
                    tree.insert(other, face);
                    *self = Self::Many(tree);
                }
            },
            Self::Many(tree) => {
                tree.insert(other, face);
            }
        }
    }
}

/// Where a face is, or belongs.
fn place(list: &[(u32, Face)], other: u32) -> Result<usize, usize> {
    list.binary_search_by_key(&other, |(group, _)| *group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn area(area_um2: f64) -> Face {
        Face { evidence: 0.5 * area_um2, area_um2 }
    }

    /// All that is said of each group, by the definition: the graph of the groups.
    fn by_definition(graph: &RegionGraph, groups: &[u32]) -> Vec<(u32, u32, Face)> {
        graph.grouped(groups, graph.n_regions()).faces().collect()
    }

    proptest! {
        /// Areas are whole, so that sums are exact in any order.
        #[test]
        fn joined_groups_have_the_faces_of_the_graph_of_groups(
            faces in prop::collection::btree_map((0..90_u32, 0..90_u32), 1..9_u32, 0..900),
            hub in prop::option::of(0..90_u32), // has more faces than a list holds
            joins in prop::collection::vec((0..90_u32, 0..90_u32), 0..60),
        ) {
            let mut graph = RegionGraph::new(90);
            let hub = hub.into_iter().flat_map(|hub| (0..90).map(move |other| ((hub, other), 1)));
            for ((a, b), um2) in faces.into_iter().chain(hub).filter(|((a, b), _)| a != b) {
                graph.add(a, b, area(f64::from(um2)));
            }
            let mut near = Neighbours::new(&graph);
            let mut groups: Vec<u32> = (0..90).collect();
            for (a, b) in joins {
                let (gone, kept) = (groups[a as usize], groups[b as usize]);
                if gone == kept || near.face(gone, kept).is_none() {
                    continue;
                }
                groups.iter_mut().filter(|group| **group == gone).for_each(|group| *group = kept);
                near.join(gone, kept, |other, face| assert!(other != kept && face.area_um2 > 0.0));
            }
            let mut found: Vec<_> = (0..90).flat_map(|a| near.of(a).map(move |(b, face)| (a, b, face))).collect();
            for &(a, b, face) in &found {
                prop_assert_eq!(near.face(b, a), Some(face));
            }
            prop_assert!((0..90).all(|group| near.count(group) == near.of(group).count()));
            found.retain(|(a, b, _)| a < b);
            prop_assert_eq!(found, by_definition(&graph, &groups));
        }
    }
}
