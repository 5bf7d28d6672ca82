//! Numbers along z, y and x as they are typed: `0.225,0.099,0.099`.

use primordia_data::VoxelSize;

/// A voxel size in µm.
pub(super) fn parse_voxel_size(text: &str) -> Result<VoxelSize, String> {
    VoxelSize::from_um(three_numbers(text)?).map_err(|error| error.to_string())
}

/// One factor for all axes, or one for each.
pub(super) fn parse_factor(text: &str) -> Result<[f64; 3], String> {
    text.trim().parse().map_or_else(|_| three_numbers(text), |factor| Ok([factor; 3]))
}

fn three_numbers(text: &str) -> Result<[f64; 3], String> {
    let numbers: Vec<f64> = text
        .split(',')
        .map(|number| number.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|_| format!("{text:?} is not three numbers, such as 0.225,0.099,0.099"))?;
    numbers
        .try_into()
        .map_err(|numbers: Vec<f64>| format!("three numbers wanted, got {}", numbers.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_one_number_or_three() {
        assert_eq!(parse_factor("1.7"), Ok([1.7; 3]));
        assert_eq!(parse_factor("1, 1.5,2"), Ok([1.0, 1.5, 2.0]));
        assert!(parse_factor("1,2").unwrap_err().contains("got 2"));
        assert!(parse_factor("wide").unwrap_err().contains("wide"));
    }
}
