//! Numbers along z, y and x as they are typed: `0.225,0.099,0.099`.

use primordia_data::VoxelSize;

/// A voxel size in µm.
pub(super) fn parse_voxel_size(text: &str) -> Result<VoxelSize, String> {
    VoxelSize::from_um(three_numbers(text, "three numbers, such as 0.225,0.099,0.099")?)
        .map_err(|error| error.to_string())
}

/// One factor for all axes, or one for each.
pub(super) fn parse_factor(text: &str) -> Result<[f64; 3], String> {
    let wanted = "one number, such as 1.7, or three, such as 1,1.7,1.7";
    text.trim().parse().map_or_else(|_| three_numbers(text, wanted), |factor| Ok([factor; 3]))
}

/// Three numbers between commas; `wanted` says which, with an example.
fn three_numbers(text: &str, wanted: &str) -> Result<[f64; 3], String> {
    let numbers: Vec<f64> = text
        .split(',')
        .map(|number| number.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|_| format!("{text:?} is not {wanted}"))?;
    numbers.try_into().map_err(|numbers: Vec<f64>| {
        format!("{text:?} is {} numbers; {wanted} wanted", numbers.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_is_one_number_or_three() {
        assert_eq!(parse_factor("1.7"), Ok([1.7; 3]));
        assert_eq!(parse_factor("1, 1.5,2"), Ok([1.0, 1.5, 2.0]));
        for wrong in ["1,2", "wide", "1,b"] {
            let message = parse_factor(wrong).unwrap_err();
            assert!(message.contains(wrong) && message.contains("1,1.7,1.7"), "{message}");
        }
    }

    #[test]
    fn a_voxel_size_is_three_numbers() {
        assert_eq!(parse_voxel_size("0.5,0.1,0.1").map(|size| size.um()), Ok([0.5, 0.1, 0.1]));
        for wrong in ["0.5", "0.5,0.1", "fine"] {
            let message = parse_voxel_size(wrong).unwrap_err();
            assert!(message.contains(wrong) && message.contains("0.225,0.099,0.099"), "{message}");
        }
    }
}
