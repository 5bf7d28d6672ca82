//! Which channel of an image shows the membranes.

use anyhow::{Context as _, bail};
use primordia_data::image::ImageFile;

/// The channel that is asked for by name or number, else the only one, else `membrane`.
pub(super) fn membrane_channel(image: &ImageFile, selector: Option<&str>) -> anyhow::Result<usize> {
    match selector {
        Some(selector) => Ok(image.channel_index(selector)?),
        None if image.n_channels() == 1 => Ok(0),
        None => image.channel_index("membrane").with_context(|| {
            format!("{} has several channels; choose one with --channel", image.path().display())
        }),
    }
}

/// The channel that an option names, which is another one than that of the membranes.
pub(super) fn other_channel(
    image: &ImageFile,
    membrane: usize,
    option: &str,
    selector: Option<&str>,
) -> anyhow::Result<Option<usize>> {
    let Some(selector) = selector else { return Ok(None) };
    let found = image.channel_index(selector)?;
    if found == membrane {
        bail!(
            "{}: {option} names the membrane channel itself, {selector}; name another channel, or leave {option} out",
            image.path().display()
        );
    }
    Ok(Some(found))
}
