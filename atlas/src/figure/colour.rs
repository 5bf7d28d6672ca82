//! Colours for numbers, for cells and for light.

use super::raster::Raster;

/// Red, green and blue.
pub(super) type Rgb = [u8; 3];

/// The colour of what was never measured.
pub(super) const NOT_MEASURED: Rgb = [191, 191, 191];

/// What a protein is drawn in (Okabe and Ito's blue).
pub(super) const PROTEIN: Rgb = [0, 114, 178];

/// What a control is drawn in (Okabe and Ito's vermillion).
pub(super) const CONTROL: Rgb = [213, 94, 0];

/// Colours that tell neighbouring cells apart for every kind of colour vision
/// (Okabe and Ito 2008, <https://jfly.uni-koeln.de/color/>, without black).
pub(super) const CELLS: [Rgb; 7] = [
    [86, 180, 233],
    [230, 159, 0],
    [0, 158, 115],
    [240, 228, 66],
    [204, 121, 167],
    [0, 114, 178],
    [213, 94, 0],
];

/// Colours for any number of cells, one after the other, that every kind of colour vision tells apart.
pub fn cell_colours() -> impl Iterator<Item = [u8; 3]> {
    CELLS.into_iter().cycle()
}

/// Every 15th colour of viridis (Smith and van der Walt 2015, CC0).
const VIRIDIS: [Rgb; 18] = [
    [68, 1, 84],
    [72, 23, 105],
    [71, 42, 122],
    [67, 61, 132],
    [61, 78, 138],
    [53, 94, 141],
    [46, 109, 142],
    [41, 123, 142],
    [35, 137, 142],
    [31, 151, 139],
    [33, 165, 133],
    [46, 179, 124],
    [70, 192, 111],
    [101, 203, 94],
    [137, 213, 72],
    [176, 221, 47],
    [216, 226, 25],
    [253, 231, 37],
];

/// Every 15th colour of magma (Smith and van der Walt 2015, CC0).
const MAGMA: [Rgb; 18] = [
    [0, 0, 4],
    [9, 7, 32],
    [26, 16, 66],
    [49, 17, 101],
    [74, 16, 121],
    [98, 25, 128],
    [121, 34, 130],
    [145, 43, 129],
    [170, 51, 125],
    [194, 59, 117],
    [217, 70, 107],
    [236, 88, 96],
    [247, 114, 92],
    [252, 142, 100],
    [254, 170, 116],
    [254, 198, 138],
    [253, 226, 163],
    [252, 253, 191],
];

/// The colour of `share` (0 to 1, beyond it the ends) on viridis; grey where it is NaN.
pub(super) fn viridis(share: f64) -> Rgb {
    along(&VIRIDIS, share)
}

/// The colour of `share` (0 to 1, beyond it the ends) on magma; grey where it is NaN.
pub(super) fn magma(share: f64) -> Rgb {
    along(&MAGMA, share)
}

/// The colour of `value` where `low` is dark blue and `high` yellow.
pub(super) fn value_colour(value: f64, [low, high]: [f64; 2]) -> Rgb {
    viridis((value - low) / (high - low))
}

/// `share` of the way from `from` to `to`.
pub(super) fn between(from: Rgb, to: Rgb, share: f64) -> Rgb {
    let mix = |at: usize| f64::from(from[at]) * (1.0 - share) + f64::from(to[at]) * share;
    [mix(0), mix(1), mix(2)].map(|value| value.round().clamp(0.0, 255.0) as u8)
}

/// Viridis from yellow (above) to blue (below), as a colour bar has it.
pub(super) fn viridis_bar() -> Raster {
    const STEPS: usize = 256;
    Raster::from_fn(1, STEPS, |_, y| viridis(1.0 - y as f64 / (STEPS - 1) as f64))
}

fn along(colours: &[Rgb], share: f64) -> Rgb {
    if share.is_nan() {
        return NOT_MEASURED;
    }
    let at = share.clamp(0.0, 1.0) * (colours.len() - 1) as f64;
    let below = (at as usize).min(colours.len() - 2);
    between(colours[below], colours[below + 1], at - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Straight lines between every 15th colour leave the true colours by at most this.
    const INTERPOLATION: i16 = 5;

    fn assert_near(found: Rgb, wanted: Rgb) {
        for (found, wanted) in found.into_iter().zip(wanted) {
            assert!((i16::from(found) - i16::from(wanted)).abs() <= INTERPOLATION);
        }
    }

    #[test]
    fn viridis_and_magma_are_those_of_matplotlib() {
        // matplotlib 3.11.2: colormaps[name].colors[round(255 * share)]
        assert_near(viridis(0.1), [72, 37, 118]);
        assert_near(viridis(0.37), [45, 113, 142]);
        assert_near(viridis(0.81), [129, 211, 77]);
        assert_near(magma(0.1), [21, 14, 56]);
        assert_near(magma(0.37), [128, 37, 130]);
        assert_near(magma(0.81), [254, 165, 113]);
    }

    #[test]
    fn what_was_never_measured_is_grey_and_the_ends_hold() {
        assert_eq!(viridis(f64::NAN), NOT_MEASURED);
        assert_eq!(viridis(-3.0), VIRIDIS[0]);
        assert_eq!(viridis(f64::INFINITY), VIRIDIS[17]);
        assert_eq!(value_colour(1.0, [1.0, 1.0]), NOT_MEASURED, "no range tells nothing");
    }
}
