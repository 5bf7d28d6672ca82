//! Regions of an over-segmentation, parted where the faces between them say so all together: the multicut.
//!
//! Every face has a cost: `(most − mean evidence) × area`, above 0 where it says that its two regions are one cell.
//! The multicut is the partition whose cut faces cost least (Andres et al. 2012, doi:10.1007/978-3-642-33712-3_56). It
//! is NP-hard; the partition here is found by greedy joining and by moving regions between neighbours afterwards
//! (Keuper et al. 2015, doi:10.1109/ICCV.2015.204).

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::guide::Guide;
use crate::merge::{
    Average, Face, Merged, RegionGraph, Within, join_greedily, merge_guided, merge_within,
};

/// Parts regions so that the faces between the parts cost least, as far as local moves find it, from what greedy
/// joining and average linkage begin with: joining two groups, parting one in two, or a chain of regions that
/// change sides between two groups makes it no better.
///
/// `assumed` counts for the linkage, and for [`Merged::most_joined`], as in [`merge_by_average`](crate::merge::merge_by_average).
pub fn multicut(graph: &RegionGraph, most: f64, assumed: Face) -> Merged {
    multicut_guided(graph, most, assumed, &Guide::default())
}

/// [`multicut`] in which groups cost as well what the nuclei in them, which should be in different ones, cost together
/// (lifted edges: Keuper et al. 2015).
pub(crate) fn multicut_guided(
    graph: &RegionGraph,
    most: f64,
    assumed: Face,
    guide: &Guide<'_>,
) -> Merged {
    let lifted = guide.costs();
    let starts = [join_greedily(graph, most, guide), merge_guided(graph, most, assumed, guide)];
    let ends = starts.map(|start| {
        let mut search = Search::new(graph, most, &lifted, &start.groups);
        search.run();
        search.groups
    });
    let [greedy, linked] = &ends;
    let energy = |groups: &[u32]| {
        let together = lifted.iter().filter(|(a, b, _)| groups[*a as usize] == groups[*b as usize]);
        multicut_energy(graph, groups, most) + together.map(|(_, _, cost)| cost).sum::<f64>()
    };
    let best = if energy(linked) < energy(greedy) { linked } else { greedy };
    let none = Guide::default();
    let linkage = Average::new(graph, assumed, &none);
    merge_within(graph, &mut Within { groups: best, linkage })
}

/// What the faces between different groups cost together.
pub fn multicut_energy(graph: &RegionGraph, groups: &[u32], most: f64) -> f64 {
    let cut = graph.faces().filter(|&(a, b, _)| groups[a as usize] != groups[b as usize]);
    cut.map(|(_, _, face)| cost(face, most)).sum()
}

/// What it costs to cut a face; below 0 where cutting pays.
fn cost(face: Face, most: f64) -> f64 {
    most * face.area_um2() - face.evidence()
}

/// Moves of regions between groups, until none pays (Kernighan–Lin with joins).
struct Search {
    near: Vec<Vec<(u32, f64)>>,
    groups: Vec<u32>,
    members: Vec<BTreeSet<u32>>,
}

/// Gains are sums of costs: less than this is rounding.
const GAIN: f64 = 1e-9;
/// A chain of moves that gains nothing for so long is given up.
const PATIENCE: usize = 50;

impl Search {
    /// Pairs of regions in `lifted` cost as told if they are in one group.
    fn new(graph: &RegionGraph, most: f64, lifted: &[(u32, u32, f64)], groups: &[u32]) -> Self {
        let mut near = vec![Vec::new(); graph.n_regions()];
        let faces = graph.faces().map(|(a, b, face)| (a, b, cost(face, most)));
        for (a, b, cost) in faces.chain(lifted.iter().map(|&(a, b, cost)| (a, b, -cost))) {
            near[a as usize].push((b, cost));
            near[b as usize].push((a, cost));
        }
        let n_groups = groups.iter().map(|&group| group as usize + 1).max().unwrap_or(0);
        let mut members = vec![BTreeSet::new(); n_groups];
        for (region, &group) in groups.iter().enumerate() {
            members[group as usize].insert(region as u32);
        }
        Self { near, groups: groups.to_vec(), members }
    }

    /// Looks at pairs of groups that touch, and at each group alone, as long as one of them changed.
    fn run(&mut self) {
        let mut changed: BTreeSet<u32> = (0..self.members.len() as u32).collect();
        while !changed.is_empty() {
            let mut next = BTreeSet::new();
            for (a, b) in self.pairs(&changed) {
                if self.improve(a, b) {
                    next.extend([a, b]);
                }
            }
            for group in changed {
                while let Some(part) = self.split(group) {
                    next.extend([group, part]);
                }
            }
            changed = next;
        }
    }

    /// The pairs of groups that touch, of which one is among `groups`.
    fn pairs(&self, groups: &BTreeSet<u32>) -> BTreeSet<(u32, u32)> {
        let mut pairs = BTreeSet::new();
        for &group in groups {
            for &region in &self.members[group as usize] {
                for &(near, _) in &self.near[region as usize] {
                    let other = self.groups[near as usize];
                    if other != group {
                        pairs.insert((group.min(other), group.max(other)));
                    }
                }
            }
        }
        pairs
    }

    /// Moves regions between two groups, or joins them, if that pays.
    fn improve(&mut self, a: u32, b: u32) -> bool {
        let between = self.between(a, b);
        let moves = self.best_moves(a, b);
        if between.max(moves.gain) <= GAIN {
            return false;
        }
        if between >= moves.gain {
            let gone = std::mem::take(&mut self.members[b as usize]);
            gone.into_iter().for_each(|region| self.put(region, a));
        } else {
            self.apply(&moves.regions, a, b);
        }
        true
    }

    /// Parts a group in two if that pays: the part's number.
    fn split(&mut self, group: u32) -> Option<u32> {
        let part = self.members.len() as u32;
        self.members.push(BTreeSet::new());
        let moves = self.best_moves(group, part);
        if moves.gain <= GAIN || moves.regions.len() == self.members[group as usize].len() {
            self.members.pop();
            return None;
        }
        self.apply(&moves.regions, group, part);
        Some(part)
    }

    fn apply(&mut self, regions: &[u32], a: u32, b: u32) {
        for &region in regions {
            let to = if self.groups[region as usize] == a { b } else { a };
            self.members[(a + b - to) as usize].remove(&region);
            self.put(region, to);
        }
    }

    fn put(&mut self, region: u32, group: u32) {
        self.groups[region as usize] = group;
        self.members[group as usize].insert(region);
    }

    /// What the faces between two groups cost.
    fn between(&self, a: u32, b: u32) -> f64 {
        let faces = self.members[a as usize].iter().flat_map(|&region| &self.near[region as usize]);
        faces.filter(|&&(near, _)| self.groups[near as usize] == b).map(|&(_, cost)| cost).sum()
    }

    /// The chain of moves between two groups, each the best that is left though it may cost at first, up to
    /// where it gained most; it ends when [`PATIENCE`] moves gained no more. No region moves twice.
    fn best_moves(&mut self, a: u32, b: u32) -> Moves {
        let mut left = self.frontier(a, b);
        let (mut chain, mut total) = (Vec::new(), 0.0);
        let (mut most, mut length) = (GAIN, 0);
        while let Some((region, gain)) = left.pop() {
            let from = self.groups[region as usize];
            self.groups[region as usize] = a + b - from;
            chain.push(region);
            total += gain;
            if total > most {
                (most, length) = (total, chain.len());
            } else if chain.len() - length > PATIENCE {
                break;
            }
            for &(near, cost) in &self.near[region as usize] {
                let group = self.groups[near as usize];
                if group == a || group == b {
                    let more = if group == from { 2.0 * cost } else { -2.0 * cost };
                    left.change(near, more, || self.gain(near, group, a + b - group));
                }
            }
        }
        for &region in &chain {
            self.groups[region as usize] = a + b - self.groups[region as usize];
        }
        chain.truncate(length);
        Moves { gain: if length > 0 { most } else { 0.0 }, regions: chain }
    }

    /// The regions of two groups that touch the other one, and what moving there gains; all, if one group is empty.
    fn frontier(&self, a: u32, b: u32) -> Gains {
        let mut gains = Gains::default();
        let all = self.members[a as usize].is_empty() || self.members[b as usize].is_empty();
        for (from, to) in [(a, b), (b, a)] {
            for &region in &self.members[from as usize] {
                let mut near = self.near[region as usize].iter();
                if all || near.any(|&(near, _)| self.groups[near as usize] == to) {
                    gains.insert(region, self.gain(region, from, to));
                }
            }
        }
        gains
    }

    /// What moving a region from its group to another gains.
    fn gain(&self, region: u32, from: u32, to: u32) -> f64 {
        let near = self.near[region as usize].iter();
        near.map(|&(near, cost)| match self.groups[near as usize] {
            group if group == to => cost,
            group if group == from => -cost,
            _ => 0.0,
        })
        .sum()
    }
}

/// Regions that change sides, and what that gains.
struct Moves {
    gain: f64,
    regions: Vec<u32>,
}

/// What each region would gain by moving, the most first.
#[derive(Default)]
struct Gains {
    of: BTreeMap<u32, Option<f64>>, // none: has moved
    order: BTreeSet<Gain>,
}

impl Gains {
    fn insert(&mut self, region: u32, gain: f64) {
        self.of.insert(region, Some(gain));
        self.order.insert(Gain { gain, region });
    }

    /// Adds to the gain of a region that has not moved; if it is new, its gain is `anew`.
    fn change(&mut self, region: u32, more: f64, anew: impl FnOnce() -> f64) {
        match self.of.get(&region).copied() {
            Some(Some(gain)) => {
                self.order.remove(&Gain { gain, region });
                self.insert(region, gain + more);
            }
            Some(None) => {}
            None => self.insert(region, anew()),
        }
    }

    /// Takes out the region with the most gain, the first among equals.
    fn pop(&mut self) -> Option<(u32, f64)> {
        let Gain { gain, region } = self.order.pop_last()?;
        self.of.insert(region, None);
        Some((region, gain))
    }
}

/// A region and what it would gain, ordered by that.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Gain {
    gain: f64,
    region: u32,
}

impl Eq for Gain {}

impl PartialOrd for Gain {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Gain {
    fn cmp(&self, other: &Self) -> Ordering {
        self.gain.total_cmp(&other.gain).then(other.region.cmp(&self.region))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nuclei::Nuclei;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const MOST: f64 = 0.3;

    fn any_graph() -> impl Strategy<Value = RegionGraph> {
        let face = (0..8_u32, 0..8_u32, 0.0..1.0_f64, 0.1..2.0_f64);
        prop::collection::vec(face, 0..24).prop_map(|faces| graph(&faces))
    }

    fn graph(faces: &[(u32, u32, f64, f64)]) -> RegionGraph {
        let mut graph = RegionGraph::new(8);
        for &(a, b, mean, area_um2) in faces {
            if a != b {
                graph.add(a, b, Face::new(mean * area_um2, area_um2));
            }
        }
        graph
    }

    /// The least cost of all partitions of the regions from `at` on, those before being in `groups`.
    fn least_energy(graph: &RegionGraph, groups: &mut Vec<u32>) -> f64 {
        if groups.len() == graph.n_regions() {
            return multicut_energy(graph, groups, MOST);
        }
        let n_groups = groups.iter().map(|&group| group + 1).max().unwrap_or(0);
        let tried = (0..=n_groups).map(|group| {
            groups.push(group);
            let energy = least_energy(graph, groups);
            groups.pop();
            energy
        });
        tried.collect::<Vec<_>>().into_iter().fold(f64::INFINITY, f64::min)
    }

    proptest! {
        #[test]
        fn moves_never_cost(graph in any_graph()) {
            let energy = |groups: &[u32]| multicut_energy(&graph, groups, MOST);
            let found = energy(&multicut(&graph, MOST, Face::default()).groups);
            prop_assert!(found <= energy(&join_greedily(&graph, MOST, &Guide::default()).groups) + 1e-9);
            prop_assert!(found >= least_energy(&graph, &mut Vec::new()) - 1e-9);
        }
    }

    /// Greedy joining alone finds the best partition of fewer of them.
    #[test]
    fn the_best_partition_is_nearly_always_found() {
        const N_GRAPHS: usize = 300;
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let (mut greedy, mut found) = (0, 0);
        for _ in 0..N_GRAPHS {
            let mut number = |most: f64| rng.random_range(0.0..most);
            let faces: Vec<_> = (0..20)
                .map(|_| (number(8.0) as u32, number(8.0) as u32, number(0.7), 0.1 + number(1.9)))
                .collect();
            let graph = graph(&faces);
            let least = least_energy(&graph, &mut Vec::new());
            let is_best = |groups: &[u32]| multicut_energy(&graph, groups, MOST) < least + 1e-9;
            greedy += usize::from(is_best(&join_greedily(&graph, MOST, &Guide::default()).groups));
            found += usize::from(is_best(&multicut(&graph, MOST, Face::default()).groups));
        }
        println!("greedy {greedy}, with moves {found} of {N_GRAPHS}");
        assert!(found > greedy && found as f64 > 0.97 * N_GRAPHS as f64, "{greedy} {found}");
    }

    #[test]
    fn nuclei_part_what_no_face_does_unless_they_are_in_doubt() {
        let graph = graph(&[(0, 2, 0.01, 1.0), (2, 3, 0.05, 1.0), (3, 1, 0.02, 1.0)]);
        let groups = |sureness: [f64; 2]| {
            let nuclei = Nuclei::known(&sureness);
            let guide = Guide::first_regions_hold(&nuclei);
            multicut_guided(&graph, MOST, Face::default(), &guide).groups[..4].to_vec()
        };
        assert_eq!(groups([1.0, 1.0]), [0, 1, 0, 1]);
        assert_eq!(groups([0.5, 0.1]), [0, 0, 0, 0]);
    }

    #[test]
    fn groups_hang_together() {
        let graph = graph(&[(0, 1, 0.0, 1.0), (2, 3, 0.0, 1.0)]);
        assert_eq!(multicut(&graph, MOST, Face::default()).groups, [0, 0, 1, 1, 2, 3, 4, 5]);
    }
}
