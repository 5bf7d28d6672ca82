//! What the volumes of regions say about which of them are one cell.

/// Shares of the volume of a cell below which, and above which, what is known changes no more.
const KNOWN: [f64; 2] = [0.5, 3.0];

/// What is known of the volumes of regions; by default nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Volumes {
    um3: Vec<f64>,
    usual_um3: f64,
}

impl Volumes {
    /// From the volume of each region and that of a usual cell, in µm³.
    pub(crate) fn new(um3: Vec<f64>, usual_um3: f64) -> Self {
        Self { um3, usual_um3 }
    }

    /// Whether faces count otherwise when more is joined to a side of some volume. To the background, which has very many
    /// faces, much is joined: it must not be asked about all of them every time.
    pub(crate) fn matter_beyond(&self, um3: f64) -> bool {
        !self.are_unknown() && (self.share(um3) <= KNOWN[1] || self.weight(um3) > 1.0)
    }

    fn are_unknown(&self) -> bool {
        self.um3.is_empty()
    }

    /// A volume as a share of that of a single cell.
    fn share(&self, um3: f64) -> f64 {
        /// The usual volume is that in which half of the tissue's mass lies, of cells that may still be joined: a
        /// single one is smaller.
        const SINGLE: f64 = 0.85;
        um3 / (SINGLE * self.usual_um3)
    }

    /// The volume of each of `n_regions`.
    pub(crate) fn um3(&self, n_regions: usize) -> Vec<f64> {
        let mut um3 = self.um3.clone();
        um3.resize(n_regions, 0.0);
        um3
    }

    /// By how much the mean evidence counts between two sides of some volume together: two that would be larger than a
    /// cell are mostly two cells, so that less evidence parts them, and two that are smaller mostly are one. Of what is
    /// far larger than a cell, the background, nothing is known.
    pub(crate) fn weight(&self, together_um3: f64) -> f64 {
        if self.are_unknown() {
            return 1.0;
        }
        let share = self.share(together_um3);
        let beyond = (share / KNOWN[1]).max(1.0);
        let known = share.clamp(KNOWN[0], KNOWN[1]) / (beyond * beyond);
        if share > 1.0 { known.max(1.0).sqrt() } else { known.sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn where_volumes_do_not_matter_faces_count_as_they_are(
            um3 in 0.0..2000.0_f64,
            more_um3 in 0.0..1e5_f64,
        ) {
            let volumes = Volumes::new(vec![1.0], 150.0);
            prop_assume!(!volumes.matter_beyond(um3));
            prop_assert!(um3 > 3.0 * 0.85 * 150.0);
            prop_assert_eq!(volumes.weight(um3), 1.0);
            prop_assert_eq!(volumes.weight(um3 + more_um3), 1.0);
        }
    }

    #[test]
    fn small_sides_are_joined_sooner_and_large_ones_later_but_not_the_background() {
        let volumes = Volumes::new(vec![1.0], 100.0);
        let weight = |um3| volumes.weight(um3);
        assert!(weight(20.0) < weight(60.0) && weight(60.0) < 1.0 && weight(85.0) == 1.0);
        assert!(weight(170.0) > 1.0 && weight(250.0) > weight(170.0) && weight(1e6) == 1.0);
        assert!(volumes.matter_beyond(20.0) && volumes.matter_beyond(250.0));
        assert!(!volumes.matter_beyond(1e6) && !Volumes::default().matter_beyond(20.0));
    }
}
