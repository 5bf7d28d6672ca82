//! Regions of an over-segmentation, joined where the evidence between them is weakest.

use std::collections::{BTreeMap, BinaryHeap};

/// The faces between regions: for each pair that touches, how much evidence for a membrane lies
/// on their common face, and its area.
#[derive(Clone, Debug, Default)]
pub struct RegionGraph {
    faces: BTreeMap<(u32, u32), Face>,
    n_regions: usize,
}

/// A face between two regions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Face {
    /// Evidence integrated over the face: mean evidence × area.
    pub evidence: f64,
    /// Area in µm².
    pub area_um2: f64,
}

impl Face {
    /// The mean evidence.
    pub fn mean(&self) -> f64 {
        self.evidence / self.area_um2
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self { evidence: self.evidence + other.evidence, area_um2: self.area_um2 + other.area_um2 }
    }
}

impl RegionGraph {
    /// A graph of regions `0..n_regions` without faces.
    pub fn new(n_regions: usize) -> Self {
        Self { faces: BTreeMap::new(), n_regions }
    }

    /// The graph of regions `0..n_regions` with faces between pairs of them, the lower first, ascending.
    pub(crate) fn of_faces(
        n_regions: usize,
        faces: impl Iterator<Item = ((u32, u32), Face)>,
    ) -> Self {
        Self { faces: faces.collect(), n_regions }
    }

    /// Adds to the face between two different regions.
    ///
    /// # Panics
    /// If a region is not below `n_regions`, or both are the same.
    pub fn add(&mut self, a: u32, b: u32, face: Face) {
        assert!(
            a != b && (a.max(b) as usize) < self.n_regions,
            "no face between regions {a} and {b}"
        );
        let sum = self.faces.entry((a.min(b), a.max(b))).or_default();
        *sum = sum.with(face);
    }

    /// The faces, by regions (lower first), ascending.
    pub fn faces(&self) -> impl Iterator<Item = (u32, u32, Face)> + '_ {
        self.faces.iter().map(|(&(a, b), &face)| (a, b, face))
    }

    /// The number of regions.
    pub fn n_regions(&self) -> usize {
        self.n_regions
    }

    /// For each region, its faces by the region on the other side.
    fn neighbours(&self) -> Vec<BTreeMap<u32, Face>> {
        let mut near = vec![BTreeMap::new(); self.n_regions];
        for (a, b, face) in self.faces() {
            near[a as usize].insert(b, face);
            near[b as usize].insert(a, face);
        }
        near
    }

    /// The graph after regions became `groups[region]` of `n_groups`.
    ///
    /// # Panics
    /// If `groups` has an entry of `n_groups` or more, or fewer entries than regions.
    #[must_use]
    pub fn grouped(&self, groups: &[u32], n_groups: usize) -> Self {
        let mut graph = Self::new(n_groups);
        for (a, b, face) in self.faces() {
            let (a, b) = (groups[a as usize], groups[b as usize]);
            if a != b {
                graph.add(a, b, face);
            }
        }
        graph
    }
}

/// Joins regions, always the two with the least mean evidence on their common face, until every
/// face has more than `most`: GASP with average linkage (Bailoni et al. 2022,
/// doi:10.1109/CVPR52688.2022.01135).
///
/// `assumed` is added to each face wherever means are compared, as if seen before: a small face, whose mean is
/// uncertain, then waits until the faces around it have been joined to it. [`Face::default`] is
/// the published linkage.
pub fn merge_by_average(graph: &RegionGraph, most: f64, assumed: Face) -> Merged {
    merge(graph, most, |face| face.with(assumed).mean())
}

/// Joins regions, always the two whose joining saves the most of a multicut's cost, until none saves any
/// (greedy additive edge contraction, Keuper et al. 2015, doi:10.1109/ICCV.2015.204): the cost of a face is
/// `(most − mean evidence) × area`.
pub(crate) fn join_greedily(graph: &RegionGraph, most: f64) -> Merged {
    merge(graph, 0.0, |face| face.evidence - most * face.area_um2)
}

/// Joins regions, always the two that least parts, until every face parts more than `most`.
fn merge(graph: &RegionGraph, most: f64, parts: impl Fn(Face) -> f64) -> Merged {
    let mut near = graph.neighbours();
    let mut queue: BinaryHeap<Candidate> =
        graph.faces().map(|(a, b, face)| Candidate::new(a, b, parts(face))).collect();
    let mut parents: Vec<u32> = (0..graph.n_regions as u32).collect();
    let mut strongest = vec![0.0; graph.n_regions];
    while let Some(Candidate { parting, a, b }) = queue.pop() {
        if parting > most {
            break;
        }
        if near[a as usize].get(&b).is_none_or(|&face| parts(face) != parting) {
            continue; // joined, or changed, since
        }
        // The one with fewer neighbours goes, so that few faces move.
        let (gone, kept) =
            if near[a as usize].len() < near[b as usize].len() { (a, b) } else { (b, a) };
        parents[gone as usize] = kept;
        strongest[kept as usize] =
            f64::max(parting, f64::max(strongest[kept as usize], strongest[gone as usize]));
        join(&mut near, gone, kept, |other, face| {
            queue.push(Candidate::new(kept, other, parts(face)));
        });
    }
    Merged::new(&parents, &strongest)
}

/// Which regions became one.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The group of each region: `0..n` in the order of their first regions.
    pub groups: Vec<u32>,
    /// For each group, the most evidence that was overruled to make it; 0 for single regions.
    pub strongest_joined: Vec<f64>,
}

impl Merged {
    /// The groups of a forest of parents, whose roots know the strongest face joined below them.
    fn new(parents: &[u32], strongest: &[f64]) -> Self {
        let mut names = BTreeMap::new();
        let mut strongest_joined = Vec::new();
        let groups = (0..parents.len() as u32)
            .map(|region| {
                let mut root = region;
                while parents[root as usize] != root {
                    root = parents[root as usize];
                }
                *names.entry(root).or_insert_with(|| {
                    strongest_joined.push(strongest[root as usize]);
                    strongest_joined.len() as u32 - 1
                })
            })
            .collect();
        Self { groups, strongest_joined }
    }

    /// The number of groups.
    pub fn n_groups(&self) -> usize {
        self.strongest_joined.len()
    }

    /// These groups, with each group joined to others by `next`.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let groups: Vec<u32> =
            self.groups.iter().map(|&group| next.groups[group as usize]).collect();
        let mut strongest_joined = next.strongest_joined.clone();
        for (&before, &after) in self.strongest_joined.iter().zip(&next.groups) {
            let strongest = &mut strongest_joined[after as usize];
            *strongest = strongest.max(before);
        }
        Self { groups, strongest_joined }
    }
}

/// Joins every region that `is_crumb`, told its size (in the units of `sizes`), all of its faces together and the
/// weakest of them, smallest first, to the neighbour behind that weakest face; regions without neighbours stay.
pub fn absorb(
    graph: &RegionGraph,
    sizes: &[f64],
    is_crumb: impl Fn(f64, Face, Face) -> bool,
) -> Merged {
    let mut near = graph.neighbours();
    let mut sizes = sizes.to_vec();
    let mut parents: Vec<u32> = (0..graph.n_regions as u32).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|&a, &b| sizes[a].total_cmp(&sizes[b]));
    for gone in order {
        let around = near[gone].values().fold(Face::default(), |sum, &face| sum.with(face));
        let weakest = near[gone].iter().min_by(|a, b| a.1.mean().total_cmp(&b.1.mean()));
        let Some((&kept, _)) = weakest.filter(|(_, face)| is_crumb(sizes[gone], around, **face))
        else {
            continue;
        };
        parents[gone] = kept;
        sizes[kept as usize] += sizes[gone];
        join(&mut near, gone as u32, kept, |_, _| ());
    }
    Merged::new(&parents, &vec![0.0; graph.n_regions])
}

/// Gives the faces of `gone` to `kept`, and tells of each that `kept` then has.
fn join(
    near: &mut [BTreeMap<u32, Face>],
    gone: u32,
    kept: u32,
    mut changed: impl FnMut(u32, Face),
) {
    for (other, face) in std::mem::take(&mut near[gone as usize]) {
        near[other as usize].remove(&gone);
        if other != kept {
            let sum = near[kept as usize].get(&other).copied().unwrap_or_default().with(face);
            near[kept as usize].insert(other, sum);
            near[other as usize].insert(kept, sum);
            changed(other, sum);
        }
    }
}

/// A pair that may be joined; the largest in the queue is parted by the least, then has the lowest
/// numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Candidate {
    parting: f64,
    a: u32,
    b: u32,
}

impl Candidate {
    fn new(a: u32, b: u32, parting: f64) -> Self {
        Self { parting, a: a.min(b), b: a.max(b) }
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.parting.total_cmp(&self.parting).then((other.a, other.b).cmp(&(self.a, self.b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_graph() -> impl Strategy<Value = RegionGraph> {
        let faces =
            prop::collection::btree_map((0..9_u32, 0..9_u32), (0.0..1.0_f64, 0.1..2.0_f64), 0..20);
        faces.prop_map(|faces| {
            let mut graph = RegionGraph::new(9);
            for ((a, b), (mean, area_um2)) in faces {
                if a != b {
                    graph.add(a, b, Face { evidence: mean * area_um2, area_um2 });
                }
            }
            graph
        })
    }

    /// The definition: look at all faces between groups, join the weakest, look again.
    fn merge_by_definition(graph: &RegionGraph, most: f64, assumed: Face) -> Vec<u32> {
        let mut groups: Vec<u32> = (0..graph.n_regions() as u32).collect();
        loop {
            let joined = graph.grouped(&groups, graph.n_regions());
            let mean = |face: Face| face.with(assumed).mean();
            let weakest = joined.faces().min_by(|a, b| mean(a.2).total_cmp(&mean(b.2)));
            match weakest {
                Some((a, b, face)) if mean(face) <= most => {
                    groups.iter_mut().filter(|group| **group == b).for_each(|group| *group = a);
                }
                _ => return groups,
            }
        }
    }

    proptest! {
        #[test]
        fn the_queue_joins_the_weakest(
            graph in any_graph(),
            most in 0.1..0.9_f64,
            assumed_um2 in prop::sample::select(vec![0.0, 0.5]),
        ) {
            let assumed = Face { evidence: 0.6 * assumed_um2, area_um2: assumed_um2 };
            let merged = merge_by_average(&graph, most, assumed);
            let (groups, n) = (&merged.groups, merged.n_groups());
            let slow = merge_by_definition(&graph, most, assumed);
            for a in 0..9 {
                prop_assert!((groups[a] as usize) < n);
                for b in 0..9 {
                    prop_assert_eq!(groups[a] == groups[b], slow[a] == slow[b]);
                }
            }
        }
    }

    #[test]
    fn crumbs_go_where_least_parts_them() {
        let mut graph = RegionGraph::new(4);
        graph.add(0, 1, Face { evidence: 2.0, area_um2: 1.0 });
        graph.add(1, 2, Face { evidence: 1.0, area_um2: 1.0 });
        let merged = absorb(&graph, &[9.0, 1.0, 9.0, 1.0], |size, _, _| size < 2.0);
        assert_eq!(merged.groups, [0, 1, 1, 2]);
        let open = absorb(&graph, &[9.0, 1.0, 9.0, 1.0], |_, around, _| around.mean() < 1.2);
        assert_eq!(open.groups, [0, 1, 1, 2]); // region 2 has only the face of evidence 1
    }

    #[test]
    fn a_small_hole_in_a_strong_face_does_not_join() {
        let mut graph = RegionGraph::new(3);
        graph.add(0, 2, Face { evidence: 0.0, area_um2: 1.0 });
        graph.add(1, 2, Face { evidence: 9.0, area_um2: 10.0 });
        graph.add(0, 1, Face { evidence: 3.0, area_um2: 4.0 });
        let merged = merge_by_average(&graph, 0.5, Face::default());
        assert_eq!(merged, Merged { groups: vec![0, 1, 0], strongest_joined: vec![0.0, 0.0] });
    }
}
