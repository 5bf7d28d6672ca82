//! Many points in 3D: a tree to search them and k-means to sum them up.
//!
//! Coordinates are 32-bit and lie axis by axis, so that the inner loops run on vector units. Work
//! is cut into chunks of fixed size: results are the same on any number of threads.

use rand::Rng;
use rayon::prelude::*;

/// Points by axis: all x, all y, all z.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Points {
    axes: [Vec<f32>; 3],
}

impl Points {
    pub(crate) fn len(&self) -> usize {
        self.axes[0].len()
    }

    pub(crate) fn get(&self, index: usize) -> [f32; 3] {
        [self.axes[0][index], self.axes[1][index], self.axes[2][index]]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = [f32; 3]> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The points at `indices`, in that order.
    pub(crate) fn at(&self, indices: &[usize]) -> Self {
        indices.iter().map(|&index| self.get(index)).collect()
    }

    /// Squared distances to `centre`, into `out`.
    pub(crate) fn squared_distances(&self, centre: [f32; 3], out: &mut [f32]) {
        let [x, y, z] = &self.axes;
        for (((out, x), y), z) in out.iter_mut().zip(x).zip(y).zip(z) {
            *out = (x - centre[0]).powi(2) + (y - centre[1]).powi(2) + (z - centre[2]).powi(2);
        }
    }
}

impl FromIterator<[f32; 3]> for Points {
    fn from_iter<I: IntoIterator<Item = [f32; 3]>>(points: I) -> Self {
        let mut found = Self::default();
        for point in points {
            for (axis, value) in found.axes.iter_mut().zip(point) {
                axis.push(value);
            }
        }
        found
    }
}

fn squared_distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2) + (a[2] - b[2]).powi(2)
}

/// A round that lessens the spread by less than this part is the last.
const SETTLED: f64 = 1e-4;

/// Lloyd's k-means from a k-means++ start (Arthur & Vassilvitskii 2007): the centres, and the
/// mean squared distance of points to the nearest of them. Stops when a round lessens that by under
/// 0.01 %, at the latest after `max_rounds`.
pub(crate) fn k_means(
    points: &Points,
    n_centres: usize,
    max_rounds: usize,
    rng: &mut impl Rng,
) -> (Points, f64) {
    let mut centres = spread_out(points, n_centres, rng);
    let mut spread = f64::INFINITY;
    for _ in 0..max_rounds {
        let round = assign(points, &centres);
        let before = spread;
        spread = round.squared / points.len() as f64;
        centres = round.centres(&centres);
        if spread >= (1.0 - SETTLED) * before {
            break;
        }
    }
    (centres, spread)
}

/// Centres among the points, each drawn with a probability that follows its squared distance to
/// those before it.
fn spread_out(points: &Points, n_centres: usize, rng: &mut impl Rng) -> Points {
    let n = points.len();
    let mut nearest = vec![f32::INFINITY; n];
    let mut distances = vec![0.0; n];
    let mut chosen = vec![rng.random_range(0..n)];
    while chosen.len() < n_centres {
        points.squared_distances(points.get(chosen[chosen.len() - 1]), &mut distances);
        for (nearest, distance) in nearest.iter_mut().zip(&distances) {
            *nearest = nearest.min(*distance);
        }
        chosen.push(draw(&nearest, rng));
    }
    points.at(&chosen)
}

/// An index, drawn with a probability that follows `weights`; any index if all are zero.
fn draw(weights: &[f32], rng: &mut impl Rng) -> usize {
    /// Sums of blocks are quick to add up; only one block is searched value by value.
    const BLOCK: usize = 64;
    let sums: Vec<f32> = weights.chunks(BLOCK).map(|block| block.iter().sum()).collect();
    let total: f64 = sums.iter().map(|sum| f64::from(*sum)).sum();
    if total <= 0.0 {
        return rng.random_range(0..weights.len());
    }
    let mut rest = total * rng.random::<f64>();
    let mut block = 0;
    while block + 1 < sums.len() && rest >= f64::from(sums[block]) {
        rest -= f64::from(sums[block]);
        block += 1;
    }
    let first = block * BLOCK;
    let candidates = &weights[first..(first + BLOCK).min(weights.len())];
    for (index, weight) in candidates.iter().enumerate() {
        rest -= f64::from(*weight);
        if rest < 0.0 {
            return first + index;
        }
    }
    // Rounding: the last candidate with any weight.
    first + candidates.iter().rposition(|weight| *weight > 0.0).unwrap_or(0)
}

/// What one round of k-means found.
struct Round {
    sums: Vec<[f64; 3]>,
    counts: Vec<u32>,
    squared: f64,
}

impl Round {
    fn nothing(n_centres: usize) -> Self {
        let (sums, counts) = (vec![[0.0; 3]; n_centres], vec![0; n_centres]);
        Self { sums, counts, squared: 0.0 }
    }

    fn add(mut self, other: &Self) -> Self {
        for (sum, more) in self.sums.iter_mut().zip(&other.sums) {
            (0..3).for_each(|axis| sum[axis] += more[axis]);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.squared += other.squared;
        self
    }

    /// The means of the points of each centre; a centre without points stays.
    fn centres(&self, before: &Points) -> Points {
        let mean = |(index, (sum, &count)): (usize, (&[f64; 3], &u32))| match count {
            0 => before.get(index),
            _ => sum.map(|sum| (sum / f64::from(count)) as f32),
        };
        self.sums.iter().zip(&self.counts).enumerate().map(mean).collect()
    }
}

/// Gives every point its nearest centre.
fn assign(points: &Points, centres: &Points) -> Round {
    const CHUNK: usize = 4096;
    let [x, y, z] = &points.axes;
    let chunks = x.par_chunks(CHUNK).zip(y.par_chunks(CHUNK)).zip(z.par_chunks(CHUNK));
    let rounds: Vec<Round> = chunks.map(|((x, y), z)| assign_chunk([x, y, z], centres)).collect();
    rounds.iter().fold(Round::nothing(centres.len()), Round::add)
}

fn assign_chunk([x, y, z]: [&[f32]; 3], centres: &Points) -> Round {
    let centres: Vec<[f32; 3]> = centres.iter().collect();
    let mut round = Round::nothing(centres.len());
    for first in (0..x.len()).step_by(LANES) {
        let n = LANES.min(x.len() - first);
        let mut points = [[0.0; LANES]; 3];
        for (lanes, axis) in points.iter_mut().zip([x, y, z]) {
            lanes[..n].copy_from_slice(&axis[first..first + n]);
        }
        let (squares, nearest) = nearest_centres(&points, &centres);
        for lane in 0..n {
            let centre = nearest[lane] as usize;
            for (sum, axis) in round.sums[centre].iter_mut().zip(&points) {
                *sum += f64::from(axis[lane]);
            }
            round.counts[centre] += 1;
            round.squared += f64::from(squares[lane]);
        }
    }
    round
}

/// Points that are compared with all centres at once: so few that vector units hold them and what
/// was found for them throughout.
const LANES: usize = 8;

/// For each point (by axis) the squared distance to the nearest centre, and which that is; the
/// first of several.
fn nearest_centres(
    [x, y, z]: &[[f32; LANES]; 3],
    centres: &[[f32; 3]],
) -> ([f32; LANES], [u32; LANES]) {
    let (mut squares, mut nearest) = ([f32::INFINITY; LANES], [0_u32; LANES]);
    for (index, [cx, cy, cz]) in (0..).zip(centres) {
        for lane in 0..LANES {
            let square = (x[lane] - cx).powi(2) + (y[lane] - cy).powi(2) + (z[lane] - cz).powi(2);
            let closer = square < squares[lane];
            squares[lane] = if closer { square } else { squares[lane] };
            nearest[lane] = if closer { index } else { nearest[lane] };
        }
    }
    (squares, nearest)
}

/// A tree of boxes, halved along their longest side until few points remain in each.
pub(crate) struct Tree {
    points: Points, // in the order of the leaves
    nodes: Vec<Node>,
}

struct Node {
    low: [f32; 3],
    high: [f32; 3],
    first: usize,
    end: usize,
    /// The second child; the first follows its parent. 0 for leaves.
    second: usize,
}

impl Node {
    fn squared_distance(&self, point: [f32; 3]) -> f32 {
        let gap = |axis: usize| {
            (self.low[axis] - point[axis]).max(point[axis] - self.high[axis]).max(0.0)
        };
        gap(0).powi(2) + gap(1).powi(2) + gap(2).powi(2)
    }

    fn squared_distance_to_farthest(&self, point: [f32; 3]) -> f32 {
        let gap = |axis: usize| (point[axis] - self.low[axis]).max(self.high[axis] - point[axis]);
        gap(0).powi(2) + gap(1).powi(2) + gap(2).powi(2)
    }
}

impl Tree {
    const LEAF: usize = 16;

    pub(crate) fn new(points: &Points) -> Self {
        let mut order: Vec<usize> = (0..points.len()).collect();
        let mut nodes = Vec::new();
        if !order.is_empty() {
            Self::split(points, &mut order, 0, &mut nodes);
        }
        Self { points: points.at(&order), nodes }
    }

    fn split(points: &Points, order: &mut [usize], first: usize, nodes: &mut Vec<Node>) {
        let (mut low, mut high) = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
        for &index in order.iter() {
            for (axis, value) in points.get(index).into_iter().enumerate() {
                low[axis] = low[axis].min(value);
                high[axis] = high[axis].max(value);
            }
        }
        let node = nodes.len();
        nodes.push(Node { low, high, first, end: first + order.len(), second: 0 });
        if order.len() <= Self::LEAF {
            return;
        }
        let side = |axis: usize| high[axis] - low[axis];
        let longest = (0..3).max_by(|a, b| side(*a).total_cmp(&side(*b))).unwrap_or(0);
        let middle = order.len() / 2;
        let values = &points.axes[longest];
        order.select_nth_unstable_by(middle, |a, b| {
            values[*a].total_cmp(&values[*b]).then(a.cmp(b))
        });
        let (left, right) = order.split_at_mut(middle);
        Self::split(points, left, first, nodes);
        nodes[node].second = nodes.len();
        Self::split(points, right, first + middle, nodes);
    }

    /// The number of points within `radius` of `centre`.
    pub(crate) fn count_within(&self, centre: [f32; 3], radius: f32) -> usize {
        let limit = radius * radius;
        let mut count = 0;
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            let Some(node) = self.nodes.get(at) else { break };
            if node.squared_distance(centre) > limit {
                continue;
            }
            if node.squared_distance_to_farthest(centre) <= limit {
                count += node.end - node.first;
            } else if node.second == 0 {
                let near =
                    |index: &usize| squared_distance(self.points.get(*index), centre) <= limit;
                count += (node.first..node.end).filter(near).count();
            } else {
                open.extend([at + 1, node.second]);
            }
        }
        count
    }

    /// For each point, in any order, the distance to the nearest other one.
    pub(crate) fn nearest_other_distances(&self) -> Vec<f32> {
        (0..self.points.len()).into_par_iter().map(|index| self.nearest_other(index)).collect()
    }

    /// The distance from `centre` to the nearest point; none if there are no points.
    pub(crate) fn nearest(&self, centre: [f32; 3]) -> Option<f32> {
        (!self.nodes.is_empty()).then(|| self.nearest_but(centre, usize::MAX))
    }

    fn nearest_other(&self, index: usize) -> f32 {
        self.nearest_but(self.points.get(index), index)
    }

    /// The distance from `centre` to the nearest point that is not `index`.
    fn nearest_but(&self, centre: [f32; 3], index: usize) -> f32 {
        let mut best = f32::INFINITY;
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            let node = &self.nodes[at];
            if node.squared_distance(centre) >= best {
                continue;
            }
            if node.second == 0 {
                for other in (node.first..node.end).filter(|other| *other != index) {
                    best = best.min(squared_distance(self.points.get(other), centre));
                }
            } else {
                // The nearer child is opened first, so it is pushed last.
                let children = [at + 1, node.second];
                let [a, b] = children.map(|child| self.nodes[child].squared_distance(centre));
                open.extend(if a < b { [children[1], children[0]] } else { children });
            }
        }
        best.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn any_points() -> impl Strategy<Value = Points> {
        let point = [-1.0_f32..1.0, -1.0_f32..1.0, -1.0_f32..1.0];
        proptest::collection::vec(point, 2..200).prop_map(|points| points.into_iter().collect())
    }

    proptest! {
        #[test]
        fn the_tree_counts_and_finds_what_a_list_does(points in any_points(), radius in 0.0_f32..2.0) {
            let tree = Tree::new(&points);
            for point in points.iter() {
                let near = points.iter().filter(|other| squared_distance(*other, point) <= radius * radius);
                prop_assert_eq!(tree.count_within(point, radius), near.count());
            }
            let nearest = points.iter().map(|other| squared_distance(other, [0.5; 3]));
            let nearest = nearest.fold(f32::INFINITY, f32::min).sqrt();
            prop_assert_eq!(tree.nearest([0.5; 3]), Some(nearest));
            let mut found = tree.nearest_other_distances();
            let mut wanted: Vec<f32> = (0..points.len())
                .map(|i| (0..points.len()).filter(|j| *j != i)
                    .map(|j| squared_distance(points.get(i), points.get(j)))
                    .fold(f32::INFINITY, f32::min)
                    .sqrt())
                .collect();
            found.sort_by(f32::total_cmp);
            wanted.sort_by(f32::total_cmp);
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn k_means_finds_clusters_that_stand_apart() {
        let corner =
            |k: usize| [0, 1, 2].map(|axis| 10.0 * f32::from(u8::from(k >> axis & 1 == 1)));
        let points: Points = (0..800)
            .map(|index| {
                let [x, y, z] = corner(index % 8);
                let shift = if index / 8 % 2 == 0 { 0.1 } else { -0.1 };
                [x + shift, y - shift, z]
            })
            .collect();
        let (centres, spread) = k_means(&points, 8, 20, &mut ChaCha8Rng::seed_from_u64(3));
        for k in 0..8 {
            let near = centres.iter().any(|centre| squared_distance(centre, corner(k)) < 1e-8);
            assert!(near, "{k}");
        }
        assert!((spread - 0.02).abs() < 1e-6);
    }

    #[test]
    fn identical_points_break_nothing() {
        let points: Points = std::iter::repeat_n([1.0, 2.0, 3.0], 50).collect();
        let (centres, spread) = k_means(&points, 4, 5, &mut ChaCha8Rng::seed_from_u64(3));
        assert_eq!((centres.get(3), spread), ([1.0, 2.0, 3.0], 0.0));
        assert_eq!(Tree::new(&points).count_within([1.0, 2.0, 3.0], 0.0), 50);
    }
}
