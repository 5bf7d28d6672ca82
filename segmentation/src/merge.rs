//! Regions of an over-segmentation, joined where the evidence between them is weakest.

use std::collections::{BTreeMap, BinaryHeap};

use crate::guide::{Guide, Holds};

/// The faces between regions: for each pair that touches, how much evidence for a membrane lies
/// on their common face, and its area.
#[derive(Clone, Debug, Default)]
pub struct RegionGraph {
    faces: Vec<((u32, u32), Face)>, // by regions, the lower first, ascending
    n_regions: usize,
}

/// A face between two regions. There are many: they are kept in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Face {
    /// Evidence integrated over the face: mean evidence × area.
    evidence: f32,
    area_um2: f32,
    /// The squared mean evidence of its parts × their area, so that it is known how far parts differ.
    squared: f32,
}

impl Face {
    /// A face in one part, from the evidence integrated over it (mean evidence × area) and its area in µm².
    pub fn new(evidence: f64, area_um2: f64) -> Self {
        let mean = if area_um2 > 0.0 { evidence / area_um2 } else { 0.0 };
        let squared = (mean * evidence) as f32;
        Self { evidence: evidence as f32, area_um2: area_um2 as f32, squared }
    }

    /// The evidence integrated over it: mean evidence × area.
    pub fn evidence(&self) -> f64 {
        self.evidence.into()
    }

    /// Its area in µm².
    pub fn area_um2(&self) -> f64 {
        self.area_um2.into()
    }

    /// The squared mean evidence of its parts × their area.
    pub(crate) fn squared(&self) -> f64 {
        self.squared.into()
    }

    /// The mean evidence.
    pub fn mean(&self) -> f64 {
        self.evidence() / self.area_um2()
    }

    /// The standard deviation of the mean evidence of its parts.
    pub fn deviation(&self) -> f64 {
        (f64::from(self.squared) / self.area_um2() - self.mean().powi(2)).max(0.0).sqrt()
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            evidence: self.evidence + other.evidence,
            area_um2: self.area_um2 + other.area_um2,
            squared: self.squared + other.squared,
        }
    }

    /// It with at least so much evidence on it.
    #[must_use]
    pub(crate) fn at_least(self, evidence: f64) -> Self {
        Self { evidence: self.evidence.max(evidence as f32), ..self }
    }
}

impl RegionGraph {
    /// A graph of regions `0..n_regions` without faces.
    pub fn new(n_regions: usize) -> Self {
        Self { faces: Vec::new(), n_regions }
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
        let pair = (a.min(b), a.max(b));
        match self.faces.binary_search_by_key(&pair, |(pair, _)| *pair) {
            Ok(at) => self.faces[at].1 = self.faces[at].1.with(face),
            Err(at) => self.faces.insert(at, (pair, face)),
        }
    }

    /// The faces, by regions (lower first), ascending.
    pub fn faces(&self) -> impl Iterator<Item = (u32, u32, Face)> + '_ {
        self.faces.iter().map(|&((a, b), face)| (a, b, face))
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
        assert!(groups.iter().all(|&group| (group as usize) < n_groups), "no group {n_groups}");
        let grouped = self.faces().map(|(a, b, face)| {
            let (a, b) = (groups[a as usize], groups[b as usize]);
            ((a.min(b), a.max(b)), face)
        });
        let mut faces: Vec<_> = grouped.filter(|((a, b), _)| a != b).collect();
        faces.sort_by_key(|(pair, _)| *pair); // stable: sums are the same in every run
        faces.dedup_by(|next, sum| {
            let is_same = next.0 == sum.0;
            if is_same {
                sum.1 = sum.1.with(next.1);
            }
            is_same
        });
        Self { faces, n_regions: n_groups }
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
    merge_guided(graph, most, assumed, &Guide::default())
}

/// [`merge_by_average`] in which what two sides of a face hold of nuclei adds to the mean evidence on it.
pub(crate) fn merge_guided(
    graph: &RegionGraph,
    most: f64,
    assumed: Face,
    guide: &Guide<'_>,
) -> Merged {
    merge(graph, most, &mut Average::new(graph, assumed, guide))
}

/// Joins regions, always the two whose joining saves the most of a multicut's cost, until none saves any
/// (greedy additive edge contraction, Keuper et al. 2015, doi:10.1109/ICCV.2015.204): the cost of a face is
/// `(most − mean evidence) × area`.
pub(crate) fn join_greedily(graph: &RegionGraph, most: f64, guide: &Guide<'_>) -> Merged {
    merge(graph, 0.0, &mut Greedy { most, held: Held::new(graph, guide) })
}

/// What tells which two groups of regions are joined next.
pub(crate) trait Linkage {
    /// How much parts two groups with a common face: those that least parts are joined first.
    fn parts(&self, a: u32, b: u32, face: Face) -> f64;

    /// Whether two groups stay two, although little parts them.
    fn refuses(&mut self, _a: u32, _b: u32, _face: Face) -> bool {
        false
    }

    /// Gives what is known of `gone` to `kept`, which had a `face` between them; tells whether faces of `kept` count differently
    /// since, besides those that it had in common with `gone`.
    fn join(&mut self, gone: u32, kept: u32, face: Face) -> bool;
}

/// [`merge_guided`].
pub(crate) struct Average<'g> {
    assumed: Face,
    held: Held<'g>,
}

impl<'g> Average<'g> {
    pub(crate) fn new(graph: &RegionGraph, assumed: Face, guide: &'g Guide<'g>) -> Self {
        Self { assumed, held: Held::new(graph, guide) }
    }
}

impl Linkage for Average<'_> {
    fn parts(&self, a: u32, b: u32, face: Face) -> f64 {
        face.with(self.assumed).mean() + self.held.between(a, b)
    }

    fn join(&mut self, gone: u32, kept: u32, _face: Face) -> bool {
        self.held.join(gone, kept)
    }
}

/// [`join_greedily`].
struct Greedy<'g> {
    most: f64,
    held: Held<'g>,
}

impl Linkage for Greedy<'_> {
    fn parts(&self, a: u32, b: u32, face: Face) -> f64 {
        face.evidence() + (self.held.between(a, b) - self.most) * face.area_um2()
    }

    fn join(&mut self, gone: u32, kept: u32, _face: Face) -> bool {
        self.held.join(gone, kept)
    }
}

/// A linkage within groups that are known: nothing joins two of them.
pub(crate) struct Within<'g, L> {
    pub(crate) groups: &'g [u32],
    pub(crate) linkage: L,
}

/// Joins all regions of a group, and no others, in the order of a linkage.
pub(crate) fn merge_within(graph: &RegionGraph, within: &mut Within<'_, impl Linkage>) -> Merged {
    merge(graph, f64::MAX, within)
}

impl<L: Linkage> Linkage for Within<'_, L> {
    fn parts(&self, a: u32, b: u32, face: Face) -> f64 {
        let is_within = self.groups[a as usize] == self.groups[b as usize];
        if is_within { self.linkage.parts(a, b, face) } else { f64::INFINITY }
    }

    fn join(&mut self, gone: u32, kept: u32, face: Face) -> bool {
        self.linkage.join(gone, kept, face)
    }
}

/// What groups of regions hold of nuclei.
pub(crate) struct Held<'g> {
    guide: &'g Guide<'g>,
    of: Vec<Vec<Holds>>,
}

impl<'g> Held<'g> {
    pub(crate) fn new(graph: &RegionGraph, guide: &'g Guide<'g>) -> Self {
        Self { guide, of: guide.held(graph.n_regions) }
    }

    /// How much evidence what two groups hold adds to that of the face between them.
    pub(crate) fn between(&self, a: u32, b: u32) -> f64 {
        self.guide.between(&self.of[a as usize], &self.of[b as usize])
    }

    /// Gives what `gone` holds to `kept`, and tells whether that changes what it holds.
    pub(crate) fn join(&mut self, gone: u32, kept: u32) -> bool {
        let held = std::mem::take(&mut self.of[gone as usize]);
        self.guide.add(&mut self.of[kept as usize], &held)
    }
}

/// Joins regions, always the two that least parts, until every two that touch are parted by more than `most`, or refused.
pub(crate) fn merge(graph: &RegionGraph, most: f64, linkage: &mut impl Linkage) -> Merged {
    let mut near = graph.neighbours();
    // Candidates that more parts would only take memory.
    let mut queue: BinaryHeap<Candidate> = graph
        .faces()
        .map(|(a, b, face)| Candidate::new(a, b, linkage.parts(a, b, face)))
        .filter(|candidate| candidate.parted <= most)
        .collect();
    let mut parents: Vec<u32> = (0..graph.n_regions as u32).collect();
    let mut most_joined = vec![0.0; graph.n_regions];
    while let Some(Candidate { parted, a, b }) = queue.pop() {
        let Some(&face) = near[a as usize].get(&b) else { continue }; // joined since
        if linkage.parts(a, b, face) != parted || linkage.refuses(a, b, face) {
            continue;
        }
        // The one with fewer neighbours goes, so that few faces move.
        let (gone, kept) =
            if near[a as usize].len() < near[b as usize].len() { (a, b) } else { (b, a) };
        parents[gone as usize] = kept;
        most_joined[kept as usize] =
            f64::max(parted, f64::max(most_joined[kept as usize], most_joined[gone as usize]));
        let is_changed = linkage.join(gone, kept, face);
        let mut push = |other, face| {
            let candidate = Candidate::new(kept, other, linkage.parts(kept, other, face));
            if candidate.parted <= most {
                queue.push(candidate);
            }
        };
        join(&mut near, gone, kept, &mut push);
        if is_changed {
            near[kept as usize].iter().for_each(|(&other, &face)| push(other, face));
        }
    }
    Merged::new(&parents, &most_joined)
}

/// Which regions became one.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The group of each region: `0..n` in the order of their first regions.
    pub groups: Vec<u32>,
    /// For each group, the most that parted two of its regions, or groups of them, that were joined; 0 for single regions.
    pub most_joined: Vec<f64>,
}

impl Merged {
    /// The groups of a forest of parents, whose roots know the most that was overruled below them.
    fn new(parents: &[u32], most: &[f64]) -> Self {
        let mut names = BTreeMap::new();
        let mut most_joined = Vec::new();
        let groups = (0..parents.len() as u32)
            .map(|region| {
                let mut root = region;
                while parents[root as usize] != root {
                    root = parents[root as usize];
                }
                *names.entry(root).or_insert_with(|| {
                    most_joined.push(most[root as usize]);
                    most_joined.len() as u32 - 1
                })
            })
            .collect();
        Self { groups, most_joined }
    }

    /// The number of groups.
    pub fn n_groups(&self) -> usize {
        self.most_joined.len()
    }

    /// These groups, with each group joined to others by `next`.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let groups: Vec<u32> =
            self.groups.iter().map(|&group| next.groups[group as usize]).collect();
        let mut most_joined = next.most_joined.clone();
        for (&before, &after) in self.most_joined.iter().zip(&next.groups) {
            let most = &mut most_joined[after as usize];
            *most = most.max(before);
        }
        Self { groups, most_joined }
    }
}

/// Joins every region that `is_crumb`, told its number, its size (in the units of `sizes`), all of its faces together and
/// the weakest of them, smallest first, to the neighbour behind that weakest face; regions without neighbours stay.
pub fn absorb(
    graph: &RegionGraph,
    sizes: &[f64],
    is_crumb: impl Fn(usize, f64, Face, Face) -> bool,
) -> Merged {
    let mut near = graph.neighbours();
    let mut sizes = sizes.to_vec();
    let mut parents: Vec<u32> = (0..graph.n_regions as u32).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|&a, &b| sizes[a].total_cmp(&sizes[b]));
    for gone in order {
        let around = near[gone].values().fold(Face::default(), |sum, &face| sum.with(face));
        let weakest = near[gone].iter().min_by(|a, b| a.1.mean().total_cmp(&b.1.mean()));
        let Some((&kept, _)) =
            weakest.filter(|(_, face)| is_crumb(gone, sizes[gone], around, **face))
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
    parted: f64,
    a: u32,
    b: u32,
}

impl Candidate {
    fn new(a: u32, b: u32, parted: f64) -> Self {
        Self { parted, a: a.min(b), b: a.max(b) }
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
        other.parted.total_cmp(&self.parted).then((other.a, other.b).cmp(&(self.a, self.b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nuclei::Nuclei;
    use proptest::prelude::*;

    fn any_graph() -> impl Strategy<Value = RegionGraph> {
        let faces =
            prop::collection::btree_map((0..9_u32, 0..9_u32), (0.0..1.0_f64, 0.1..2.0_f64), 0..20);
        faces.prop_map(|faces| {
            let mut graph = RegionGraph::new(9);
            for ((a, b), (mean, area_um2)) in faces {
                if a != b {
                    graph.add(a, b, Face::new(mean * area_um2, area_um2));
                }
            }
            graph
        })
    }

    /// The definition: look at all faces between groups, join the weakest, look again.
    fn merge_by_definition(
        graph: &RegionGraph,
        most: f64,
        assumed: Face,
        guide: &Guide<'_>,
    ) -> Vec<u32> {
        let mut groups: Vec<u32> = (0..graph.n_regions() as u32).collect();
        loop {
            let joined = graph.grouped(&groups, graph.n_regions());
            let nuclei = guide.grouped(&groups, graph.n_regions()).held(graph.n_regions());
            let parting = |(a, b, face): (u32, u32, Face)| {
                face.with(assumed).mean() + guide.between(&nuclei[a as usize], &nuclei[b as usize])
            };
            let weakest = joined.faces().min_by(|a, b| parting(*a).total_cmp(&parting(*b)));
            match weakest {
                Some((a, b, face)) if parting((a, b, face)) <= most => {
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
            sureness in prop::collection::vec(0.1..1.0_f64, 0..7),
        ) {
            let assumed = Face::new(0.6 * assumed_um2, assumed_um2);
            let nuclei = Nuclei::known(&sureness);
            let guide = Guide::first_regions_hold(&nuclei);
            let merged = merge_guided(&graph, most, assumed, &guide);
            let (groups, n) = (&merged.groups, merged.n_groups());
            let slow = merge_by_definition(&graph, most, assumed, &guide);
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
        graph.add(0, 1, Face::new(2.0, 1.0));
        graph.add(1, 2, Face::new(1.0, 1.0));
        let merged = absorb(&graph, &[9.0, 1.0, 9.0, 1.0], |_, size, _, _| size < 2.0);
        assert_eq!(merged.groups, [0, 1, 1, 2]);
        let open = absorb(&graph, &[9.0, 1.0, 9.0, 1.0], |_, _, around, _| around.mean() < 1.2);
        assert_eq!(open.groups, [0, 1, 1, 2]); // region 2 has only the face of evidence 1
    }

    #[test]
    fn two_nuclei_part_what_no_face_does_and_go_on_doing_so_in_larger_groups() {
        let mut graph = RegionGraph::new(4);
        for (a, b) in [(0, 2), (2, 3), (3, 1)] {
            graph.add(a, b, Face::new(0.01 * f64::from(a + b), 1.0));
        }
        let groups = |sureness: [f64; 2]| {
            let nuclei = Nuclei::known(&sureness);
            let guide = Guide::first_regions_hold(&nuclei);
            merge_guided(&graph, 0.26, Face::default(), &guide).groups
        };
        assert_eq!(groups([1.0, 1.0]), [0, 1, 0, 1]);
        assert_eq!(groups([1.0, 0.5]), [0, 0, 0, 0], "one of them may be none");
    }

    #[test]
    fn a_small_hole_in_a_strong_face_does_not_join() {
        let mut graph = RegionGraph::new(3);
        graph.add(0, 2, Face::new(0.0, 1.0));
        graph.add(1, 2, Face::new(9.0, 10.0));
        graph.add(0, 1, Face::new(3.0, 4.0));
        let merged = merge_by_average(&graph, 0.5, Face::default());
        assert_eq!(merged, Merged { groups: vec![0, 1, 0], most_joined: vec![0.0, 0.0] });
    }
}
