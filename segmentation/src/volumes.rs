//! What the volumes of regions say about which of them are one cell.

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

    /// Whether nothing is known.
    pub(crate) fn are_unknown(&self) -> bool {
        self.um3.is_empty()
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
        /// The usual volume is that in which half of the tissue's mass lies, of cells that may still be joined: a
        /// single one is smaller.
        const SINGLE: f64 = 0.85;
        /// Shares of the volume of a cell below which, and above which, what is known changes no more.
        const KNOWN: [f64; 2] = [0.5, 3.0];
        if self.are_unknown() {
            return 1.0;
        }
        let share = together_um3 / (SINGLE * self.usual_um3);
        let beyond = (share / KNOWN[1]).max(1.0);
        let known = share.clamp(KNOWN[0], KNOWN[1]) / (beyond * beyond);
        if share > 1.0 { known.max(1.0).sqrt() } else { known.sqrt() }
    }
}
