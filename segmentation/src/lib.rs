//! Finds the cells of a membrane-stained volume, and says how sure it is of each.
//!
//! [`auto_asking`] needs no parameter and is the method of choice: [`auto`](fn@auto) by sheets, and
//! [`auto_with`] a network, which sees more where images are dim, where sheets leave doubts. Both may
//! be guided by the [`Nuclei`] of another channel;
//! [`hartmann2020`](fn@hartmann2020) is the recipe of the lateral-line atlas (Hartmann et al. 2020, doi:10.7554/eLife.55913), to compare with.
//! [`unmix`](fn@unmix) takes out of the membrane channel what another one bleeds into it,
//! [`apply_edits`] corrects what it found by hand, and [`score`](fn@score) tells how well labels agree with a truth. The steps are public: [`median()`],
//! [`gaussian()`], [`Components`], [`distance_um`], [`watershed()`].

#![allow(clippy::float_cmp)] // equal means equal here: a value that has not changed, an exact answer
#![allow(clippy::inline_always)] // what must melt into one vector loop

mod adam;
pub mod asking;
mod assignment;
pub mod auto;
mod ball;
mod block;
mod ceiling;
mod cells;
mod clefts;
pub mod components;
pub mod confidence;
pub mod distance;
pub mod edits;
pub mod error;
mod evidence;
mod finer;
pub mod gaussian;
mod guide;
pub mod hartmann2020;
mod hollows;
pub mod joining;
pub mod median;
pub mod merge;
pub mod multicut;
pub mod network;
pub mod nuclei;
mod pieces;
mod planes;
mod refine;
mod regions;
mod resample;
pub mod score;
pub mod segmentation;
mod share;
pub mod sheet;
mod shrunken;
mod stencil;
mod strength;
mod taken;
#[cfg(test)]
mod testing;
pub mod tiled;
mod tiles;
pub mod unmix;
mod vectorized;
pub mod watershed;
mod witnesses;
mod zoom;

pub use asking::{Witness, auto_asking, doubtful, mends, or_shipped};
pub use auto::{Auto, Guides, Partition, auto, auto_with};
pub use components::Components;
pub use confidence::{CellEvidence, Grade, Unfound, Verdict};
pub use distance::distance_um;
pub use edits::{EditProblem, Edited, apply_edits};
pub use error::{Result, SegmentError};
pub use gaussian::{gaussian, gaussian_bytes};
pub use hartmann2020::{Hartmann2020, hartmann2020, to_bytes};
pub use joining::Joining;
pub use median::median;
pub use merge::{Face, Merged, RegionGraph, absorb, merge_by_average};
pub use multicut::{multicut, multicut_energy};
pub use nuclei::{Nuclei, Nucleus};
pub use score::{Scores, best_ious, score};
pub use segmentation::{Segmentation, Threshold};
pub use sheet::{SheetScale, sheet_evidence};
pub use tiled::{Room, TiledSegmentation, auto_in_tiles, hartmann2020_bytes, whole_bytes};
pub use unmix::{Unmixing, unmix};
pub use watershed::{watershed, watershed_within};
