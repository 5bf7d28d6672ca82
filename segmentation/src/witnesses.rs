//! What the image shows: sheets, as the filter sees them, or as the filter and a network both do.

use ndarray::Array3;
use primordia_data::{Volume, VoxelSize};
use rayon::prelude::*;

use crate::auto::{Auto, Guides};
use crate::block::{Block, whole};
use crate::ceiling::Bright;
use crate::error::Result;
use crate::evidence::Evidence;
use crate::hartmann2020::finite_range;
use crate::network::{Boundary, Light, add_to, evened};
use crate::refine::FullGrid;
use crate::resample::{Enlarged, coarse_size, divide, factors_up_to, over, put};
use crate::sheet::{SheetFilter, SheetScale, Sheets, direction_reach, directions};
use crate::shrunken::Shrunken;
use crate::strength::{
    CoarseSums, RawSheets, Strength, WIDTH_STEP, Width, choose_width, coarse_factors, noise_gain,
    usual,
};
use crate::tiles::Cut;
use crate::zoom::{Zoom, squares};

/// Two witnesses seldom see a membrane at its strongest at the same voxel, and the network is unsure of dim ones: this
/// much of both is as usual.
const AGREED: f32 = 0.8;

/// What the shrunken image shows.
pub(crate) struct Found<'a, T> {
    pub(crate) grid: FullGrid<'a, T>,
    pub(crate) sheets: Sheets,
    pub(crate) bright: Bright,
}

/// The sheets of the shrunken image, by the filter or by both witnesses, and what is far brighter than they are.
pub(crate) fn found<'a, T>(
    membrane: &'a Volume<T>,
    params: &Auto,
    guides: &Guides<'_>,
) -> Result<Found<'a, T>>
where
    T: Copy + Into<f32> + Send + Sync,
{
    let merges_more = guides.nuclei.is_none();
    match guides.network {
        Some(network) => by_network(membrane, params, network, merges_more),
        None => by_sheets(membrane, params, merges_more),
    }
}

/// `merges_more` where wide sheets can be seen in larger voxels, and no nuclei are on the grid of the smaller ones.
fn by_sheets<'a, T>(
    membrane: &'a Volume<T>,
    params: &Auto,
    merges_more: bool,
) -> Result<Found<'a, T>>
where
    T: Copy + Into<f32> + Send + Sync,
{
    let grid = Grid::of(membrane, params)?;
    let width = grid.width;
    let factors =
        if merges_more { factors_up_to(membrane, width.um) } else { grid.image.factors() };
    let image = grid.image_with(membrane, factors)?;
    let range = image.range()?;
    let sheets = sheets(&image, SheetScale::for_width(width.um), range)?;
    let bright = image.into_bright(); // memory is needed
    Ok(Found { grid: FullGrid { image: membrane, factors, range, width }, sheets, bright })
}

/// `merges_more` as for sheets: the network is shown the image also from so far away.
fn by_network<'a, T>(
    membrane: &'a Volume<T>,
    params: &Auto,
    network: &Boundary,
    merges_more: bool,
) -> Result<Found<'a, T>>
where
    T: Copy + Into<f32> + Send + Sync,
{
    let Grid { image, width } = Grid::of(membrane, params)?;
    let further = factors_up_to(membrane, width.um);
    let near = Zoom::near(image.grid().1)?;
    let (image, seen) = if merges_more && further != image.factors() {
        clearest(image, near, Shrunken::new(membrane, further)?, network)?
    } else {
        let seen = seen(&image, near, network)?;
        (image, seen)
    };
    let (factors, grid, range) = (image.factors(), image.grid(), image.range()?);
    let scale = SheetScale::for_width(width.um);
    let mut evidence = sheets(&image, scale, range)?.evidence;
    let bright = image.into_bright(); // memory is needed
    let learned = Volume::new(evened(seen)?.into_voxels(), grid.1)?;
    agree(&mut evidence, learned.as_slice());
    let mut sheets = Sheets { evidence, directions: Volume::new(Array3::default(grid.0), grid.1)? };
    let cut = Cut { reach: direction_reach(scale, grid.1), step: [1; 3] };
    for tile in cut.small_tiles(grid.0) {
        let found = tile.with(&learned, |part| directions(part, &tile.part().core, scale))?;
        put(&mut sheets.directions, tile.from(), &found);
    }
    drop(learned);
    Ok(Found { grid: FullGrid { image: membrane, factors, range, width }, sheets, bright })
}

/// Of an image from near and from afar the one in which the network sees more boundaries, and what it sees.
fn clearest<'a, T: Copy + Into<f32> + Sync>(
    image: Shrunken<'a, T>,
    near: Zoom,
    further: Shrunken<'a, T>,
    network: &Boundary,
) -> Result<(Shrunken<'a, T>, Volume<f32>)> {
    let far = Zoom::far(further.grid().1, near)?;
    let from_far = seen(&further, far, network)?;
    let from_near = seen(&image, near, network)?;
    let um2 = |zoom: Zoom, seen: &Volume<f32>| zoom.boundary_um2(squares(seen.as_slice()));
    if um2(far, &from_far) > um2(near, &from_near) {
        Ok((further, from_far))
    } else {
        Ok((image, from_near))
    }
}

/// The probabilities of boundaries in an image as it is shown to the network.
fn seen<T: Copy + Into<f32> + Sync>(
    image: &Shrunken<'_, T>,
    zoom: Zoom,
    network: &Boundary,
) -> Result<Volume<f32>> {
    let shape = image.grid().0;
    let light = Light::new(&Volume::new(image.block(&whole(shape))?, zoom.voxel_size())?)?;
    let mut seen = Volume::new(Array3::zeros(shape), zoom.voxel_size())?;
    let read = |block: &Block| image.block(block);
    network.add_probability((shape, zoom.voxel_size()), &light, read, |block, answer| {
        add_to(&mut seen, block, &answer);
        Ok(())
    })?;
    Ok(seen)
}

/// What both witnesses say together, as a share of what is usual.
pub(crate) fn agree(sheets: &mut Volume<Evidence>, learned: &[f32]) {
    if let Some(sheets) = sheets.voxels_mut().as_slice_mut() {
        sheets.par_iter_mut().zip(learned).for_each(|(sheet, learned)| {
            *sheet = Evidence::new(0.5 * (sheet.value().min(1.5) + learned) / AGREED);
        });
    }
}

/// The widths at which sheets may be looked for, narrowest first, in an image of merged voxels.
pub(crate) fn widths_um(params: &Auto, voxel_size: VoxelSize) -> [f64; 4] {
    let least_um = params.narrowest_um(voxel_size.um());
    [1.0, 1.5, 2.2, 3.2].map(|factor| factor * least_um)
}

/// Tiles in which the strength of sheets is looked at.
pub(crate) fn width_cut(scale: SheetScale, voxel_size: VoxelSize) -> Cut {
    Cut { reach: SheetFilter::reach(scale, voxel_size), step: [WIDTH_STEP; 3] }
}

/// The image in which sheets are looked for.
struct Grid<'a, T> {
    image: Shrunken<'a, T>,
    /// How the image shows its sheets.
    width: Width,
}

impl<'a, T: Copy + Into<f32> + Send + Sync> Grid<'a, T> {
    /// After a look at parameters and values.
    fn of(membrane: &'a Volume<T>, params: &Auto) -> Result<Self> {
        params.check()?;
        finite_range(membrane)?;
        let image = Shrunken::new(membrane, factors_up_to(membrane, params.membrane_um))?;
        let (shape, voxel_size) = image.grid();
        let n_voxels = shape.iter().product();
        let widths_um = widths_um(params, voxel_size);
        let contrasts = widths_um.map(|width_um| {
            let scale = SheetScale::for_width(width_um);
            let mut strength = Strength::default();
            for tile in width_cut(scale, voxel_size).small_tiles(shape) {
                let core = tile.part().core;
                image.with(&tile, |part| strength.add(part, &core, scale, WIDTH_STEP))?;
            }
            Ok(strength.contrast(n_voxels, noise_gain(voxel_size, scale)?))
        });
        let contrasts = contrasts.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(Self { width: choose_width(&widths_um, &contrasts), image })
    }

    /// The image of other merged voxels.
    fn image_with(self, membrane: &'a Volume<T>, factors: [usize; 3]) -> Result<Shrunken<'a, T>> {
        if self.image.factors() == factors {
            return Ok(self.image);
        }
        drop(self.image);
        Shrunken::new(membrane, factors)
    }
}

/// The evidence for sheets, as a share of what is usual nearby; `range` is that of the image.
fn sheets<T>(image: &Shrunken<'_, T>, scale: SheetScale, range: (f32, f32)) -> Result<Sheets>
where
    T: Copy + Into<f32> + Sync,
{
    let (shape, voxel_size) = image.grid();
    let factors = usual_factors((shape, voxel_size), scale);
    let unit = range.1 - range.0;
    let coarse = [0, 1, 2].map(|axis| shape[axis].div_ceil(factors[axis]));
    let mut sheets = Sheets {
        evidence: Volume::new(Array3::default(shape), voxel_size)?,
        directions: Volume::new(Array3::default(shape), voxel_size)?,
    };
    let mut roughness = Volume::new(Array3::zeros(coarse), coarse_size(voxel_size, factors)?)?;
    let cut = Cut { reach: SheetFilter::reach(scale, voxel_size), step: factors };
    for tile in cut.small_tiles(shape) {
        let core = tile.part().core;
        let raw = image.with(&tile, |part| RawSheets::new(part, &core, scale, unit, factors))?;
        put(&mut sheets.evidence, tile.from(), &raw.sheets.evidence);
        put(&mut sheets.directions, tile.from(), &raw.sheets.directions);
        put(&mut roughness, over(tile.from(), factors), &raw.roughness);
    }
    let sums = CoarseSums::new(&sheets.evidence, factors, Evidence::value)?;
    let usual = usual_evidence(&sums, &roughness, voxel_size, scale)?;
    even_out(&mut sheets.evidence, [0; 3], &Enlarged::new(&usual, factors));
    Ok(sheets)
}

/// How many voxels become one of the grid on which it is found out what evidence is usual.
pub(crate) fn usual_factors(grid: ([usize; 3], VoxelSize), scale: SheetScale) -> [usize; 3] {
    coarse_factors(grid, usual_um(scale))
}

fn usual_um(scale: SheetScale) -> f64 {
    20.0 * scale.fine_um
}

/// What evidence is divided by.
pub(crate) fn usual_evidence(
    sums: &CoarseSums,
    roughness: &Volume<f32>,
    voxel_size: VoxelSize,
    scale: SheetScale,
) -> Result<Volume<f32>> {
    usual(sums, roughness, noise_gain(voxel_size, scale)?, usual_um(scale))
}

/// Divides the evidence in a part of an image, which begins at voxel `from`, by what is usual.
pub(crate) fn even_out(evidence: &mut Volume<Evidence>, from: [usize; 3], usual: &Enlarged<'_>) {
    divide(evidence, from, usual, |value, usual| Evidence::new(value.value() / usual));
}

#[cfg(test)]
mod tests {
    use primordia_data::phantom::{self, Optics, PhantomParams};

    use super::*;
    use crate::testing::tissue_of;

    /// How many voxels (0.4 µm) are merged for the network to see a tissue whose cells are some times as large as usual.
    fn merged(times: f64, optics: impl Fn(VoxelSize) -> Optics) -> [usize; 3] {
        let optics = optics(VoxelSize::from_um([0.4; 3]).unwrap());
        let params =
            PhantomParams { tissue: tissue_of(12, times), optics, ..PhantomParams::default() };
        let (membrane, _) = phantom::membranes(&params, 1).unwrap();
        let network = Boundary::shipped().unwrap();
        by_network(&membrane, &Auto::default(), &network, true).unwrap().grid.factors
    }

    #[test]
    fn thick_walls_between_large_cells_are_shown_from_afar() {
        let thick = |size| Optics { psf_sigma_um: [1.2; 2], ..Optics::clean(size) };
        assert_eq!(merged(3.0, thick), [2; 3]);
    }

    #[test]
    fn dim_membranes_are_not() {
        assert_eq!(merged(1.0, Optics::edge_of_sight), [1; 3]);
    }
}
