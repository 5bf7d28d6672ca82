//! What nuclei say about which regions are one cell: regions that hold different nuclei are two, as surely as the nuclei
//! are.

use std::f64::consts::PI;

use crate::merge::Face;
use crate::nuclei::Nuclei;

/// Between two groups of regions that hold different sure nuclei lies this much more evidence than the face shows: enough
/// to part them where it shows none. Nuclei in doubt add less, so that a sheet must be seen as well. Between two that hold
/// parts of one nucleus, and of no other, lies as much less.
const PARTING: f64 = 0.3;
/// A nucleus at least so sure is one.
const SURE: f64 = 0.5;
/// Of what a group holds, so many are kept, those that count most: one that is sure parts it from others already, and
/// the outside of a tissue may hold any number of specks.
const KEPT: usize = 8;

/// What a region holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holds {
    /// A nucleus, by its row.
    Nucleus(u32),
    /// More of the outside of the tissue than of the tissue: no part of a cell that has a nucleus.
    Outside,
}

/// Regions, or groups of them, and what they hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guide<'n> {
    nuclei: Option<&'n Nuclei>,
    /// How much each nucleus counts.
    weights: Vec<f64>,
    /// Of each region; without nuclei, none.
    held: Vec<Vec<Holds>>,
}

impl<'n> Guide<'n> {
    /// From how much each nucleus counts, 0 to 1, and what each region holds.
    pub(crate) fn new(nuclei: &'n Nuclei, weights: Vec<f64>, held: Vec<Vec<Holds>>) -> Self {
        Self { nuclei: Some(nuclei), weights, held }
    }

    /// The guide after regions became `groups[region]` of `n_groups`.
    #[must_use]
    pub(crate) fn grouped(&self, groups: &[u32], n_groups: usize) -> Self {
        let mut held = vec![Vec::new(); if self.held.is_empty() { 0 } else { n_groups }];
        for (own, &group) in self.held.iter().zip(groups) {
            self.add(&mut held[group as usize], own);
        }
        Self { held, ..self.clone() }
    }

    /// What each of `n_regions` holds.
    pub(crate) fn held(&self, n_regions: usize) -> Vec<Vec<Holds>> {
        let mut held = self.held.clone();
        held.resize(n_regions, Vec::new());
        held
    }

    /// Whether a region surely holds a nucleus.
    pub(crate) fn has_nucleus(&self, region: usize) -> bool {
        let held = self.held.get(region).into_iter().flatten();
        held.into_iter().any(|&held| self.sureness(held) > SURE)
    }

    /// The usual volume of regions that surely hold a nucleus: half of them are larger; none if they are few.
    pub(crate) fn usual(&self, volumes: &[f64]) -> Option<f64> {
        const FEW: usize = 5;
        let volumes = volumes.iter().enumerate().filter(|(region, _)| self.has_nucleus(*region));
        let mut volumes: Vec<f64> = volumes.map(|(_, &volume)| volume).collect();
        volumes.sort_by(f64::total_cmp);
        volumes.get(volumes.len() / 2).copied().filter(|_| volumes.len() >= FEW)
    }

    /// Adds to what a group holds what it does not yet, and tells whether that changes it.
    pub(crate) fn add(&self, held: &mut Vec<Holds>, more: &[Holds]) -> bool {
        let before = held.clone();
        held.extend(more);
        held.sort_unstable();
        held.dedup();
        if held.len() > KEPT {
            held.sort_by(|&a, &b| self.counts(b).total_cmp(&self.counts(a)));
            held.truncate(KEPT);
            held.sort_unstable();
        }
        *held != before
    }

    /// How much a nucleus counts, if it is one; the outside is never forgotten.
    fn counts(&self, held: Holds) -> f64 {
        match held {
            Holds::Nucleus(row) => self.weights[row as usize] * self.sureness(held),
            Holds::Outside => f64::INFINITY,
        }
    }

    fn sureness(&self, held: Holds) -> f64 {
        match (held, self.nuclei) {
            (Holds::Nucleus(row), Some(nuclei)) => nuclei.all()[row as usize].sureness,
            _ => 0.0,
        }
    }

    /// How surely what two regions hold is not of one cell, as far as it counts; below 0 if it is of one.
    fn apart(&self, a: Holds, b: Holds) -> f64 {
        let weight = |row: u32| self.weights[row as usize];
        match (a, b, self.nuclei) {
            (Holds::Nucleus(a), Holds::Nucleus(b), _) if a == b => -weight(a),
            (Holds::Nucleus(a), Holds::Nucleus(b), Some(nuclei)) => {
                f64::midpoint(weight(a), weight(b)) * nuclei.apart(a, b)
            }
            (Holds::Nucleus(row), Holds::Outside, _) | (Holds::Outside, Holds::Nucleus(row), _) => {
                weight(row) * self.sureness(Holds::Nucleus(row))
            }
            _ => 0.0,
        }
    }

    /// How much evidence what two groups hold adds to that of the face between them.
    pub(crate) fn between(&self, a: &[Holds], b: &[Holds]) -> f64 {
        let pairs = a.iter().flat_map(|&a| b.iter().map(move |&b| (a, b)));
        let apart = pairs.map(|(a, b)| self.apart(a, b)).reduce(f64::max);
        PARTING * apart.unwrap_or(0.0)
    }

    /// A face between two regions, with at least the evidence of what they hold.
    pub(crate) fn seen(&self, (a, b, face): (u32, u32, Face)) -> Face {
        let held = |region: u32| self.held.get(region as usize).map_or(&[][..], Vec::as_slice);
        let least = self.between(held(a), held(b)) * face.area_um2();
        face.at_least(least)
    }

    /// What it costs that two regions are in one group: pairs of regions that hold nuclei, as if each pair shared a face
    /// as wide as they are apart.
    pub(crate) fn costs(&self) -> Vec<(u32, u32, f64)> {
        /// Nuclei farther apart than this many times the usual distance to the nearest are in different groups anyway.
        const FAR: f64 = 4.0;
        let Some(nuclei) = self.nuclei else { return Vec::new() };
        let mut holders = Vec::new();
        for (region, held) in (0..).zip(&self.held) {
            for &held in held {
                if let Holds::Nucleus(row) = held {
                    holders.push((region, held, nuclei.all()[row as usize].centre_um));
                }
            }
        }
        let mut nearest_um: Vec<f64> = (holders.iter().enumerate())
            .map(|(own, holder)| {
                let others = holders.iter().enumerate().filter(|(other, _)| *other != own);
                others.map(|(_, other)| (other.2 - holder.2).norm()).fold(f64::INFINITY, f64::min)
            })
            .collect();
        nearest_um.sort_by(f64::total_cmp);
        let far_um = FAR * nearest_um.get(nearest_um.len() / 2).copied().unwrap_or(0.0);
        let mut costs = Vec::new();
        for (at, &(a, held_a, centre_a)) in holders.iter().enumerate() {
            for &(b, held_b, centre_b) in &holders[at + 1..] {
                let um = (centre_b - centre_a).norm();
                if a != b && um <= far_um {
                    costs.push((a, b, PARTING * self.apart(held_a, held_b) * PI * um * um));
                }
            }
        }
        costs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guide of regions of which the first hold a nucleus each.
    impl<'n> Guide<'n> {
        pub(crate) fn first_regions_hold(nuclei: &'n Nuclei) -> Self {
            let n_nuclei = nuclei.all().len();
            let held = (0..n_nuclei as u32).map(|row| vec![Holds::Nucleus(row)]).collect();
            Self::new(nuclei, vec![1.0; n_nuclei], held)
        }
    }

    #[test]
    fn the_surest_pair_counts() {
        use Holds::{Nucleus, Outside};
        let nuclei = Nuclei::known(&[1.0, 0.5, 0.1]);
        let guide = Guide::first_regions_hold(&nuclei);
        let close = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-12, "{found}");
        close(guide.between(&[Nucleus(0)], &[Nucleus(1)]), 0.5 * PARTING);
        close(guide.between(&[Nucleus(0), Nucleus(2)], &[Nucleus(1)]), 0.5 * PARTING);
        close(guide.between(&[Nucleus(2)], &[Nucleus(1)]), 0.05 * PARTING);
        close(guide.between(&[Nucleus(0)], &[]), 0.0);
        close(guide.between(&[Nucleus(0)], &[Nucleus(0)]), -PARTING);
        close(guide.between(&[Nucleus(0)], &[Nucleus(0), Nucleus(1)]), 0.5 * PARTING);
        close(guide.between(&[Outside], &[Nucleus(1)]), 0.5 * PARTING);
        close(guide.between(&[Outside], &[Outside]), 0.0);
        let joined = guide.grouped(&[1, 0, 1], 2);
        assert_eq!(joined.held, [vec![Nucleus(1)], vec![Nucleus(0), Nucleus(2)]]);
        assert!(joined.has_nucleus(1) && !joined.has_nucleus(0) && !joined.has_nucleus(7));
        let seen = |evidence| joined.seen((0, 1, Face::new(evidence, 2.0)));
        assert_eq!(seen(1.0), Face::new(1.0, 2.0));
        assert_eq!(seen(0.1).evidence(), f64::from(PARTING as f32), "half of it on each µm²");
    }

    #[test]
    fn nuclei_count_by_their_weights() {
        let nuclei = Nuclei::known(&[1.0, 1.0]);
        let held = vec![vec![Holds::Nucleus(0)], vec![Holds::Nucleus(1)]];
        let guide = Guide::new(&nuclei, vec![0.2, 0.6], held);
        let found = guide.between(&guide.held[0], &guide.held[1]);
        assert!((found - 0.4 * PARTING).abs() < 1e-12, "{found}");
    }

    #[test]
    fn of_many_nuclei_those_that_count_most_are_kept_in_whatever_order_they_come() {
        use Holds::{Nucleus, Outside};
        let nuclei = Nuclei::known(&[0.9, 0.1, 0.8, 0.3, 0.7, 0.6, 0.5, 0.4, 0.2, 1.0]);
        let guide = Guide::first_regions_hold(&nuclei);
        let kept = [0, 2, 4, 5, 6, 7, 9].map(Nucleus).into_iter().chain([Outside]);
        let kept: Vec<Holds> = kept.collect();
        let all: Vec<Holds> = (0..10).map(Nucleus).chain([Outside]).collect();
        let (mut onward, mut backward) = (Vec::new(), Vec::new());
        for (one, other) in all.iter().zip(all.iter().rev()) {
            guide.add(&mut onward, &[*one]);
            guide.add(&mut backward, &[*other]);
        }
        assert_eq!((&onward, &backward), (&kept, &kept));
        assert!(!guide.add(&mut onward, &all), "nothing more");
    }

    #[test]
    fn half_of_the_regions_with_a_nucleus_are_larger_than_usual() {
        let nuclei = Nuclei::known(&[1.0, 1.0, 1.0, 1.0, 1.0, 0.2]);
        let guide = Guide::first_regions_hold(&nuclei);
        assert_eq!(guide.usual(&[3.0, 1.0, 2.0, 900.0, 4.0, 5000.0, 6000.0]), Some(3.0));
        assert_eq!(Guide::default().usual(&[3.0; 9]), None);
    }
}
