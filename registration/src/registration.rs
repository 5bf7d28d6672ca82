//! From a tissue in its image to the frame that all tissues share.

use nalgebra::{Matrix3, Point3, Vector3};
use primordia_data::{ImageFrame, PointCloud, Rigid, TissueFrame};

use crate::axes::Axes;
use crate::decision::{Decision, Hints, Source, apical, direction};
use crate::error::Result;
use crate::profile::Profile;
use crate::tissue::Tissue;

/// Where a specimen lies in the common frame, and how well that is known.
#[derive(Clone, Debug, PartialEq)]
pub struct TissueRegistration {
    /// From the image to the common frame; [`TissueRegistration::tissue_to_image`] leads back.
    pub image_to_tissue: Rigid<ImageFrame, TissueFrame>,
    /// Which end leads.
    pub direction: Decision,
    /// Which side is apical.
    pub apical: Decision,
    /// The axes in the image, and how surely they are known.
    pub axes: Axes,
    /// From rear to tip, in µm.
    pub length_um: f64,
    /// How far the middle of the tissue bends away from the line between its ends, in µm: the sagitta
    /// of the parabola through the cells. NaN below ten cells.
    pub bend_um: f64,
    /// The course and thickness along the tissue, for [`crate::residuals_um`].
    pub profile: Profile,
}

impl TissueRegistration {
    /// From the common frame back to the image.
    pub fn tissue_to_image(&self) -> Rigid<TissueFrame, ImageFrame> {
        self.image_to_tissue.inverse()
    }
}

/// Finds the motion of a tissue into the common frame.
///
/// The long axis is the principal axis of largest extent of all labelled voxels; the upright axis is the shorter of
/// the other two (or the one nearer to an apical hint). Hints decide which ends of the axes are leading and
/// apical; without them the cells do, and where they do not tell, the nearest axis of the image does: the
/// [`Decision`]s say which, and how surely. Axes that the shape does not determine, as in a ball, are taken from
/// the hints, and flagged in [`Axes`].
///
/// # Errors
/// [`crate::RegistrationError::NoExtent`] if the tissue is one point, [`crate::RegistrationError::Hint`] if a hint is no
/// direction, [`crate::RegistrationError::HintAcross`] if it lies across the axis whose sign it should tell.
///
/// # Example
/// ```
/// # use nalgebra::{Point3, Vector3};
/// # use primordia_data::PointCloud;
/// # use primordia_registration::{Hints, Tissue, register};
/// let line = (0..30).map(|i| Point3::new(7.0, f64::from(i), f64::from(i % 3))).collect();
/// let tissue = Tissue::from_centroids(&PointCloud::new(line), None)?;
/// let hints = Hints { migration: Some(-Vector3::y()), ..Hints::default() };
/// let found = register(&tissue, &hints)?;
/// let tip = found.image_to_tissue.point(&Point3::new(7.0, 0.0, 1.0));
/// assert!(tip.x.abs() < 0.1 && found.length_um > 28.9);
/// # Ok::<_, primordia_registration::RegistrationError>(())
/// ```
pub fn register(tissue: &Tissue, hints: &Hints) -> Result<TissueRegistration> {
    let (centre, covariance) = tissue.centre_and_covariance();
    let axes = Axes::find(&covariance, tissue.n_cells(), hints)?;
    let (x, direction) = direction(tissue, axes.long, hints.migration()?)?;
    let (z, apical) = apical(tissue, axes.upright, hints.apical()?)?;
    let y = z.cross(&x);
    let (rear_um, tip_um) = tissue.range_um(&x);
    let origin = Vector3::new(tip_um, y.dot(&centre.coords), z.dot(&centre.coords));
    let rotation = Matrix3::from_rows(&[x.transpose(), y.transpose(), z.transpose()]);
    let image_to_tissue = Rigid::from_parts(rotation, -origin)?;
    Ok(described(tissue, image_to_tissue, axes, [direction, apical], tip_um - rear_um))
}

/// The registration of a specimen whose positions came in the common frame, as published tables do: the motion is the identity.
///
/// # Errors
/// As [`Tissue::from_centroids`] and [`register`].
pub fn already_registered(
    centroids: &PointCloud<TissueFrame>,
    volumes_um3: Option<&[f64]>,
) -> Result<TissueRegistration> {
    let as_image = PointCloud::new(centroids.points().to_vec());
    let tissue = Tissue::from_centroids(&as_image, volumes_um3)?;
    let (_, covariance) = tissue.centre_and_covariance();
    let axes = Axes::find(&covariance, tissue.n_cells(), &Hints::default())?;
    let (rear_um, tip_um) = tissue.range_um(&Vector3::x());
    let evidence = "positions came in the frame of the tissue".to_owned();
    let given = Decision { source: Source::Given, confidence: 1.0, evidence };
    Ok(described(&tissue, Rigid::identity(), axes, [given.clone(), given], tip_um - rear_um))
}

fn described(
    tissue: &Tissue,
    image_to_tissue: Rigid<ImageFrame, TissueFrame>,
    axes: Axes,
    [direction, apical]: [Decision; 2],
    length_um: f64,
) -> TissueRegistration {
    let along = tissue.range_um(&image_to_tissue.rotation().row(0).transpose());
    let shift_um = image_to_tissue.point(&Point3::origin()).x;
    let ends_um = (along.0 + shift_um, along.1 + shift_um);
    let profile = Profile::new(tissue, &image_to_tissue, ends_um);
    let bend_um = bend_um(tissue, &image_to_tissue, ends_um);
    TissueRegistration { image_to_tissue, direction, apical, axes, length_um, bend_um, profile }
}

/// The sagitta of the parabolas y(x) and z(x) through the cells, each weighed by its volume.
fn bend_um(
    tissue: &Tissue,
    image_to_tissue: &Rigid<ImageFrame, TissueFrame>,
    (rear_um, tip_um): (f64, f64),
) -> f64 {
    const MIN_CELLS: usize = 10;
    let (mut products, mut sums) = (Matrix3::zeros(), Matrix3::zeros());
    for cell in tissue.cells() {
        let place = image_to_tissue.point(&cell.centre());
        let u = (2.0 * place.x - rear_um - tip_um) / (tip_um - rear_um);
        let powers = Vector3::new(1.0, u, u * u);
        products += powers * powers.transpose() * cell.mass();
        sums += powers * place.coords.transpose() * cell.mass();
    }
    match products.lu().solve(&sums) {
        Some(parabola) if tissue.n_cells() >= MIN_CELLS => parabola[(2, 1)].hypot(parabola[(2, 2)]),
        _ => f64::NAN,
    }
}
