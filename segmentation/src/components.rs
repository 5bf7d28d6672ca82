//! Connected components of a mask, held as runs of voxels along x: memory and time go with the
//! number of runs, not of voxels.

use primordia_data::Volume;
use rayon::prelude::*;

/// The connected components (6 neighbours) of some of an image's voxels, numbered 0.. in the
/// order of their first voxels in memory.
pub struct Components {
    shape: [usize; 3],
    runs: Vec<Run>,      // in the order of memory
    row_ends: Vec<u32>,  // where the runs of each row (one z and y) end
    component: Vec<u32>, // of each run
    sizes: Vec<u64>,     // voxels of each component
}

/// The voxels `start..end` of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    start: u32,
    end: u32,
}

impl Components {
    /// The components of the voxels that are `inside`.
    pub fn new<T: Sync>(volume: &Volume<T>, inside: impl Fn(&T) -> bool + Sync) -> Self {
        const SLAB: usize = 4; // planes that one thread handles at a time
        let shape = volume.shape();
        let [_, n_y, n_x] = shape;
        let slabs: Vec<Slab> = volume
            .as_slice()
            .par_chunks(SLAB * n_y * n_x)
            .map(|voxels| Slab::new(voxels, n_y, n_x, &inside))
            .collect();
        let mut whole = Slab::default();
        for slab in slabs {
            whole.append(slab, n_y);
        }
        let Slab { runs, row_ends, parents } = whole;
        let (component, sizes) = number(&parents, &runs);
        Self { shape, runs, row_ends, component, sizes }
    }

    /// The number of components.
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether no voxel was inside.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// The number of voxels of each component.
    pub fn sizes(&self) -> &[u64] {
        &self.sizes
    }

    /// The component with most voxels, the first of equals.
    pub fn largest(&self) -> Option<usize> {
        (0..self.len())
            .max_by_key(|&component| (self.sizes[component], std::cmp::Reverse(component)))
    }

    /// Writes `values[component]` into the voxels of each component and leaves the others.
    ///
    /// # Panics
    /// If `out` has another shape than the image, or `values` fewer entries than components.
    pub fn paint<T: Copy + Send + Sync>(&self, values: &[T], out: &mut Volume<T>) {
        assert_eq!(out.shape(), self.shape, "the volume to paint lies on another grid");
        let n_x = self.shape[2];
        let mut voxels = out.voxels_mut();
        let Some(voxels) = voxels.as_slice_mut() else { return };
        voxels.par_chunks_mut(n_x).enumerate().for_each(|(row, voxels)| {
            for run in self.runs_of(row) {
                let Run { start, end } = self.runs[run];
                voxels[start as usize..end as usize].fill(values[self.component[run] as usize]);
            }
        });
    }

    /// The components as an image: 0 outside, `component + 1` inside, numbered as
    /// `scipy.ndimage.label` does.
    pub fn to_volume<T>(&self, like: &Volume<T>) -> Volume<u32> {
        let mut out = like.map(|_| 0);
        self.paint(&(1..=self.len() as u32).collect::<Vec<_>>(), &mut out);
        out
    }

    fn runs_of(&self, row: usize) -> std::ops::Range<usize> {
        runs_of(&self.row_ends, row)
    }
}

fn runs_of(row_ends: &[u32], row: usize) -> std::ops::Range<usize> {
    let start = if row == 0 { 0 } else { row_ends[row - 1] };
    start as usize..row_ends[row] as usize
}

/// Some planes: their runs, joined among themselves.
#[derive(Default)]
struct Slab {
    runs: Vec<Run>,
    row_ends: Vec<u32>,
    parents: Vec<u32>, // a run of the same component, never later; itself for the first
}

impl Slab {
    fn new<T>(voxels: &[T], n_y: usize, n_x: usize, inside: &impl Fn(&T) -> bool) -> Self {
        let mut slab = Self::default();
        for (row, voxels) in voxels.chunks_exact(n_x).enumerate() {
            push_runs(voxels, inside, &mut slab.runs);
            slab.row_ends.push(slab.runs.len() as u32);
            slab.parents.extend(slab.parents.len() as u32..slab.runs.len() as u32);
            if row % n_y > 0 {
                slab.join_rows(row, row - 1);
            }
            if row >= n_y {
                slab.join_rows(row, row - n_y);
            }
        }
        slab
    }

    /// Appends the planes that follow.
    fn append(&mut self, next: Self, n_y: usize) {
        let (n_rows, n_runs) = (self.row_ends.len(), self.runs.len() as u32);
        self.runs.extend(next.runs);
        self.row_ends.extend(next.row_ends.iter().map(|end| end + n_runs));
        self.parents.extend(next.parents.iter().map(|parent| parent + n_runs));
        if n_rows > 0 {
            (n_rows..n_rows + n_y).for_each(|row| self.join_rows(row, row - n_y));
        }
    }

    /// Joins the runs of two rows that are neighbours.
    fn join_rows(&mut self, row: usize, other: usize) {
        let (mut a, mut b) = (runs_of(&self.row_ends, row), runs_of(&self.row_ends, other));
        while !a.is_empty() && !b.is_empty() {
            let (one, two) = (self.runs[a.start], self.runs[b.start]);
            if one.start < two.end && two.start < one.end {
                self.join(a.start as u32, b.start as u32);
            }
            if one.end < two.end {
                a.start += 1;
            } else {
                b.start += 1;
            }
        }
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b) as usize] = a.min(b);
    }

    /// The first run of a component, shortening the way to it.
    fn root(&mut self, mut run: u32) -> u32 {
        loop {
            let parent = self.parents[run as usize];
            if parent == run {
                return run;
            }
            let next = self.parents[parent as usize];
            self.parents[run as usize] = next;
            run = next;
        }
    }
}

/// Finds the runs of a row, from border to border in 64 voxels at a time.
fn push_runs<T>(voxels: &[T], inside: &impl Fn(&T) -> bool, runs: &mut Vec<Run>) {
    let (mut start, mut before) = (0, 0);
    for (first, voxels) in (0..).step_by(64).zip(voxels.chunks(64)) {
        let bits = bits(voxels, inside);
        let mut borders = bits ^ (bits << 1 | before);
        while borders > 0 {
            let place = borders.trailing_zeros();
            if bits >> place & 1 > 0 {
                start = first + place;
            } else {
                runs.push(Run { start, end: first + place });
            }
            borders &= borders - 1;
        }
        before = bits >> 63;
    }
    if before > 0 {
        runs.push(Run { start, end: voxels.len() as u32 });
    }
}

/// Which of up to 64 voxels are inside, the first in the lowest bit.
fn bits<T>(voxels: &[T], inside: &impl Fn(&T) -> bool) -> u64 {
    /// Multiplied by this, the lowest bits of eight bytes come to stand side by side in the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let mut flags = [0; 64];
    for (flag, voxel) in flags.iter_mut().zip(voxels) {
        *flag = u8::from(inside(voxel));
    }
    let (bytes, _) = flags.as_chunks::<8>();
    bytes
        .iter()
        .rev()
        .fold(0, |bits, &flags| bits << 8 | u64::from_le_bytes(flags).wrapping_mul(GATHER) >> 56)
}

/// The component of each run, and the voxels of each component. Parents come before their runs,
/// so that one pass does it.
fn number(parents: &[u32], runs: &[Run]) -> (Vec<u32>, Vec<u64>) {
    let mut component = Vec::with_capacity(parents.len());
    let mut sizes = Vec::new();
    for (run, (&parent, Run { start, end })) in parents.iter().zip(runs).enumerate() {
        if parent as usize == run {
            component.push(sizes.len() as u32);
            sizes.push(0);
        } else {
            component.push(component[parent as usize]);
        }
        sizes[component[run] as usize] += u64::from(end - start);
    }
    (component, sizes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{any_bytes, on_threads, reference, volume};
    use proptest::prelude::*;

    /// Floods from each voxel that has no number yet, in the order of memory.
    fn components_by_flooding(mask: &Volume<bool>) -> Volume<u32> {
        let shape = mask.shape();
        let mut out = mask.map(|_| 0);
        let mut n = 0;
        for start in ndarray::indices(mask.voxels().dim()) {
            if !mask.voxels()[start] || out.voxels()[start] > 0 {
                continue;
            }
            n += 1;
            let mut open = vec![[start.0, start.1, start.2]];
            while let Some(at) = open.pop() {
                if mask.voxels()[at] && out.voxels()[at] == 0 {
                    out.voxels_mut()[at] = n;
                    for axis in 0..3 {
                        let (mut before, mut after) = (at, at);
                        before[axis] = at[axis].saturating_sub(1);
                        after[axis] = (at[axis] + 1).min(shape[axis] - 1);
                        open.extend([before, after]);
                    }
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn runs_give_the_components_of_a_flood(image in any_bytes(9), threshold in 0..4_u8) {
            let mask = image.map(|&value| value <= threshold);
            let components = Components::new(&image, |&value| value <= threshold);
            let painted = components.to_volume(&image);
            prop_assert_eq!(&painted, &components_by_flooding(&mask));
            for (component, &size) in components.sizes().iter().enumerate() {
                let count = painted.as_slice().iter().filter(|&&n| n as usize == component + 1).count();
                prop_assert_eq!(count as u64, size);
            }
        }
    }

    #[test]
    fn components_are_numbered_as_by_scipy() {
        let mask = volume(reference().shape, reference().mask);
        let components = Components::new(&mask, |&value| value > 0);
        assert_eq!(components.to_volume(&mask).as_slice(), reference().components);
    }

    #[test]
    fn long_rows_and_threads_do_not_matter() {
        let voxels: Vec<u8> =
            (0..6 * 3 * 300_u64).map(|n| u8::from(n * n * 7 % 131 < 90 || n % 300 < 130)).collect();
        let image = volume([6, 3, 300], voxels);
        let label = || Components::new(&image, |&value| value > 0).to_volume(&image);
        assert_eq!(label(), components_by_flooding(&image.map(|&value| value > 0)));
        assert_eq!(on_threads(1, label), on_threads(4, label));
    }
}
