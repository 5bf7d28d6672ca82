//! What is known of two groups of regions before they are joined.

use crate::guide::Guide;
use crate::merge::{Face, Merged, RegionGraph, merge_guided};
use crate::pieces::{Form, Piece};

/// How many numbers say what is known of two groups with a common face.
pub(crate) const N_FEATURES: usize = 9 + 2 * N_SIDE + 2;
/// How many of them are of one side of the face.
const N_SIDE: usize = 9;

/// A group of more usual volumes is the outside of the tissue: of it only that counts, and its face.
pub(crate) const OUTSIDE: f64 = 10.0;

/// An over-segmented image.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) graph: RegionGraph,
    pub(crate) pieces: Vec<Piece>,
    /// The width of its sheets.
    pub(crate) width_um: f64,
}

impl Image {
    /// Pieces of it, made by joining regions between which there is at most so much evidence, and which piece each region is.
    pub(crate) fn coarser(&self, most: f64, guide: &Guide<'_>) -> (Self, Merged) {
        let merged = merge_guided(&self.graph, most, self.assumed(), guide);
        let mut pieces = vec![Piece::default(); merged.n_groups()];
        for (&group, piece) in merged.groups.iter().zip(&self.pieces) {
            pieces[group as usize] = pieces[group as usize].with(piece);
        }
        let graph = self.graph.grouped(&merged.groups, merged.n_groups());
        (Self { graph, pieces, width_um: self.width_um }, merged)
    }

    /// What is assumed of a face before it is looked at: a piece of weak sheet, some three widths wide.
    pub(crate) fn assumed(&self) -> Face {
        const EVIDENCE: f64 = 0.5;
        let area_um2 = 10.0 * self.width_um * self.width_um;
        Face::new(EVIDENCE * area_um2, area_um2)
    }
}

/// Many faces together: in double precision, since faces are also taken away again.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    evidence: f64,
    area_um2: f64,
    squared: f64,
}

impl Sum {
    /// Both together.
    fn and(self, other: Self) -> Self {
        self.plus(other, 1.0)
    }

    /// It without `times` a part of it.
    fn without(self, part: Face, times: f64) -> Self {
        /// What is left of a face, as a share of what was taken, where rounding alone left it.
        const ROUNDING: f64 = 32.0 * f32::EPSILON as f64;
        let rest = self.plus(part.into(), -times);
        if rest.area_um2 <= ROUNDING * part.area_um2() {
            return Self::default();
        }
        Self {
            evidence: rest.evidence.max(0.0),
            area_um2: rest.area_um2,
            squared: rest.squared.max(0.0),
        }
    }

    fn plus(self, other: Self, times: f64) -> Self {
        Self {
            evidence: self.evidence + times * other.evidence,
            area_um2: self.area_um2 + times * other.area_um2,
            squared: self.squared + times * other.squared,
        }
    }

    /// The mean evidence.
    fn mean(&self) -> f64 {
        self.evidence / self.area_um2
    }

    /// The standard deviation of the mean evidence of its parts.
    fn deviation(&self) -> f64 {
        (self.squared / self.area_um2 - self.mean().powi(2)).max(0.0).sqrt()
    }
}

impl From<Face> for Sum {
    fn from(face: Face) -> Self {
        Self { evidence: face.evidence(), area_um2: face.area_um2(), squared: face.squared() }
    }
}

/// A group of regions.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    piece: Piece,
    /// All of its faces to other groups.
    around: Sum,
    /// All faces between its regions.
    inside: Sum,
    /// The most mean evidence on a face that was overruled to make it.
    overruled: f64,
}

/// All groups of regions, as they are joined.
pub(crate) struct Groups {
    all: Vec<Group>,
    assumed: Face,
    usual_um3: f64,
}

impl Groups {
    /// Single regions, of an image whose cells usually have some volume.
    pub(crate) fn new(image: &Image, usual_um3: f64) -> Self {
        let single = |&piece| Group { piece, ..Group::default() };
        let mut all: Vec<Group> = image.pieces.iter().map(single).collect();
        for (a, b, face) in image.graph.faces() {
            for side in [a, b] {
                let around = &mut all[side as usize].around;
                *around = around.and(face.into());
            }
        }
        let usual_um3 = usual_um3.max(f64::MIN_POSITIVE);
        Self { all, assumed: image.assumed(), usual_um3 }
    }

    /// Gives `gone` to `kept`, which had a `face` between them; tells whether that changes what is known of `kept`.
    pub(crate) fn join(&mut self, gone: u32, kept: u32, face: Face) -> bool {
        let gone = std::mem::take(&mut self.all[gone as usize]);
        let was_outside = self.is_outside(&self.all[kept as usize]);
        let kept = &mut self.all[kept as usize];
        *kept = Group {
            piece: kept.piece.with(&gone.piece),
            around: kept.around.and(gone.around).without(face, 2.0),
            inside: kept.inside.and(gone.inside).and(face.into()),
            overruled: kept.overruled.max(gone.overruled).max(face.with(self.assumed).mean()),
        };
        !was_outside
    }

    /// Of each of `n_groups`, of which regions belong to `of`, the region to which all others were given.
    pub(crate) fn roots(&self, of: &[u32], n_groups: usize) -> Vec<u32> {
        let mut roots = vec![0; n_groups];
        for (region, &group) in (0..).zip(of) {
            if self.all[region as usize].piece.volume_um3 > 0.0 {
                roots[group as usize] = region;
            }
        }
        roots
    }

    fn is_outside(&self, group: &Group) -> bool {
        group.piece.volume_um3 > OUTSIDE * self.usual_um3
    }

    /// What is known of two groups with a common face.
    pub(crate) fn features(&self, a: u32, b: u32, face: Face) -> [f32; N_FEATURES] {
        let (a, b) = (&self.all[a as usize], &self.all[b as usize]);
        let (small, large) = if a.piece.volume_um3 <= b.piece.volume_um3 { (a, b) } else { (b, a) };
        let logs = |group: f64| (group / self.usual_um3).clamp(1e-3, OUTSIDE).ln();
        let volumes = [small, large].map(|group| group.piece.volume_um3);
        let [of_small, of_large] = [small, large].map(|group| self.side(group, face));
        let together = if self.is_outside(large) {
            [0.0; 2]
        } else {
            form(small.piece.with(&large.piece).form())
        };
        let known = face.with(self.assumed).mean();
        let usual_um2 = self.usual_um3.cbrt().powi(2);
        let own = [
            mean(face),
            known,
            (face.area_um2().max(0.0) / self.assumed.area_um2()).max(1e-3).ln(),
            (face.area_um2().max(0.0) / usual_um2).max(1e-4).ln(),
            logs(volumes[0]),
            logs(volumes[1]),
            logs(volumes[0] + volumes[1]),
            known / (of_small[1] + 0.1),
            face.with(self.assumed).deviation(),
        ];
        let mut features = [0.0; N_FEATURES];
        let parts: [&[f64]; 4] = [&own, &of_small, &of_large, &together];
        let values = parts.into_iter().flatten();
        features.iter_mut().zip(values).for_each(|(feature, &value)| *feature = value as f32);
        features
    }

    /// What is known of one side of a face.
    fn side(&self, group: &Group, face: Face) -> [f64; N_SIDE] {
        if self.is_outside(group) {
            return [0.0; N_SIDE];
        }
        let border_um2 = f64::from(group.piece.border_um2);
        let surface_um2 = (group.around.area_um2 + border_um2).max(f64::MIN_POSITIVE);
        let [solidity, elongation] = form(group.piece.form());
        let others = group.around.without(face, 1.0).and(self.assumed.into());
        [
            (face.area_um2() / surface_um2).clamp(0.0, 1.0),
            others.mean(),
            others.deviation(),
            group.inside.evidence / group.inside.area_um2.max(self.assumed.area_um2()),
            group.overruled,
            (border_um2 / surface_um2).clamp(0.0, 1.0),
            f64::from(group.piece.evidence_um3) / group.piece.volume_um3.max(f64::MIN_POSITIVE),
            solidity,
            elongation,
        ]
    }
}

fn mean(face: Face) -> f64 {
    if face.area_um2() > 0.0 { face.mean().min(2.0) } else { 0.0 }
}

/// Solidity and elongation, as logarithms within what happens to cells.
fn form(form: Form) -> [f64; 2] {
    [form.solidity.clamp(0.1, 2.0).ln(), form.elongation.clamp(1.0, 100.0).ln()]
}

#[cfg(test)]
mod tests {
    use primordia_data::{Volume, VoxelSize};
    use proptest::prelude::*;

    use super::*;
    use crate::evidence::Evidence;
    use crate::pieces::Counts;
    use crate::regions::Part;

    /// Regions of random boxes of voxels, and faces between them.
    fn any_image() -> impl Strategy<Value = Image> {
        const SHAPE: [usize; 3] = [4, 4, 6];
        let labels = prop::collection::vec(1..8_u32, SHAPE.iter().product::<usize>());
        let faces =
            prop::collection::btree_map((0..7_u32, 0..7_u32), (0.0..1.0_f64, 0.1..9.0_f64), 4..20);
        (labels, faces).prop_map(|(mut labels, faces)| {
            (1..8).zip(&mut labels).for_each(|(region, label)| *label = region); // none is empty
            let size = VoxelSize::from_um([1.0, 0.5, 0.5]).unwrap();
            let labels = ndarray::Array3::from_shape_vec(SHAPE, labels).unwrap();
            let mut counts = Counts::new(7, size);
            let labels = Volume::new(labels, size).unwrap();
            let evidence = labels.map(|&label| Evidence::new(label as f32));
            counts.add(&labels, &evidence, &Part::whole(SHAPE), SHAPE);
            let mut graph = RegionGraph::new(7);
            for ((a, b), (mean, area_um2)) in faces.into_iter().filter(|((a, b), _)| a != b) {
                graph.add(a, b, Face::new(mean * area_um2, area_um2));
            }
            Image { graph, pieces: counts.pieces(), width_um: 0.4 }
        })
    }

    /// Groups by definition: what belongs to each is summed anew.
    fn by_definition(image: &Image, of: &[u32], overruled: &[f64], usual_um3: f64) -> Groups {
        let mut groups = Groups::new(image, usual_um3);
        for (number, group) in (0..).zip(&mut groups.all) {
            let own = || of.iter().zip(&image.pieces).filter(move |(of, _)| **of == number);
            let sum = |pair: [bool; 2]| {
                let faces = image.graph.faces().filter(|&(a, b, _)| {
                    [of[a as usize] == number, of[b as usize] == number]
                        .iter()
                        .filter(|own| **own)
                        .count()
                        == pair.iter().filter(|own| **own).count()
                });
                faces.fold(Sum::default(), |sum, (_, _, face)| sum.and(face.into()))
            };
            *group = Group {
                piece: own().fold(Piece::default(), |sum, (_, piece)| sum.with(piece)),
                around: sum([true, false]),
                inside: sum([true, true]),
                overruled: overruled[number as usize],
            };
        }
        groups
    }

    proptest! {
        #[test]
        fn what_is_known_of_groups_does_not_depend_on_how_they_were_summed(
            image in any_image(),
            joins in prop::collection::vec(0..100_usize, 0..5),
            usual_um3 in 0.5..20.0_f64,
        ) {
            let mut of: Vec<u32> = (0..7).collect();
            let mut overruled = vec![0.0; 7];
            let mut groups = Groups::new(&image, usual_um3);
            for join in joins {
                let faces: Vec<_> = image.graph.grouped(&of, 7).faces().collect();
                let Some(&(kept, gone, face)) = faces.get(join % faces.len().max(1)) else { break };
                groups.join(gone, kept, face);
                of.iter_mut().filter(|of| **of == gone).for_each(|of| *of = kept);
                let mean = face.with(image.assumed()).mean();
                overruled[kept as usize] = mean.max(overruled[kept as usize]).max(overruled[gone as usize]);
                let slow = by_definition(&image, &of, &overruled, usual_um3);
                for (a, b, face) in image.graph.grouped(&of, 7).faces() {
                    let pairs = groups.features(a, b, face).into_iter().zip(slow.features(a, b, face));
                    for (feature, (found, wanted)) in pairs.enumerate() {
                        prop_assert!((found - wanted).abs() < 1e-3, "{feature}: {found}, wanted {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn of_the_outside_only_that_it_is_counts() {
        let face = Face::new(1.0, 4.0);
        let known = |volume_um3: f64, border_um2: f32| {
            let outside = Piece { volume_um3, border_um2, ..Piece::default() };
            let cell = Piece { volume_um3: 100.0, ..Piece::default() };
            let mut graph = RegionGraph::new(2);
            graph.add(0, 1, face);
            let image = Image { graph, pieces: vec![outside, cell], width_um: 0.4 };
            Groups::new(&image, 100.0).features(0, 1, face)
        };
        assert_eq!(known(2e3, 50.0), known(9e4, 700.0));
        assert_ne!(known(500.0, 50.0), known(500.0, 700.0));
    }
}
