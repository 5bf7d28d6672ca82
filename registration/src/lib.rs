//! Brings every specimen into the frame that all tissues share, and back.
//!
//! [`register`] is the whole way: [`tissue`] sums up the cells → [`axes`] finds how the tissue lies →
//! [`decision`] tells front from rear and top from bottom → [`registration`] puts the origin. [`profile`] says
//! how unlike the others a registered specimen is.
//!
//! In the frame, x runs along the tissue with the leading tip at 0 and the tissue at negative x, z from basal to
//! apical, y so that the frame is right-handed; y and z are 0 at the centre of mass.
//! Motions are rigid: sizes stay. No function here reads files.

pub mod axes;
pub mod decision;
pub mod error;
pub mod profile;
pub mod registration;
pub mod tissue;

mod moments;

pub use axes::Axes;
pub use decision::{Decision, Hints, Source};
pub use error::{RegistrationError, Result};
pub use profile::{Profile, residuals_um};
pub use registration::{TissueRegistration, already_registered, register};
pub use tissue::Tissue;
