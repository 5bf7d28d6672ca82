//! OME-XML: the sizes, names and order that OME-TIFF files state.
//!
//! After the OME model 2016-06 and the OME-TIFF specification
//! (Goldberg et al. 2005, doi:10.1186/gb-2005-6-5-r47).

use roxmltree::{Document, Node};

use super::meaning::{Meaning, PlaneGrid};
use super::page::Page;
use crate::image::axes::Axis;
use crate::image::calibration::Calibration;
use crate::image::problem::{ImageProblem, Result};
use crate::image::units::um_per;

/// Understands OME-XML; `None` if `description` is none. `n_pages` counts every page of the file.
pub(super) fn meaning(description: &str, page: &Page, n_pages: usize) -> Result<Option<Meaning>> {
    let text = description.trim_end_matches(['\0', ' ', '\n', '\r', '\t']);
    if !text.ends_with("OME>") && !text.ends_with("ome>") {
        return Ok(None);
    }
    let document = Document::parse(text)?;
    let root = document.root_element();
    check_one_file(root)?;
    let images = elements(root, "Image").collect::<Vec<_>>();
    let image = *images.first().ok_or(ImageProblem::OmeXml { what: "Image" })?;
    let pixels = elements(image, "Pixels").next().ok_or(ImageProblem::OmeXml { what: "Pixels" })?;

    let order = pixels.attribute("DimensionOrder").unwrap_or("XYZCT");
    let (grid, n_channels) = grid(pixels, order, page)?;
    grid.check(n_pages)?;
    let mut warnings = size_warnings(pixels, page);
    if images.len() > 1 {
        warnings.push(format!("the file holds {} images; the first is read", images.len()));
    }
    Ok(Some(Meaning {
        format: "OME-TIFF",
        axes: order.chars().rev().collect(),
        pages: Some(plane_pages(pixels, &grid, page.samples, n_pages)?),
        grid,
        channel_names: channel_names(pixels, n_channels),
        calibration: calibration(pixels),
        warnings,
    }))
}

fn elements<'a, 'input>(
    parent: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    parent.children().filter(move |node| node.is_element() && node.tag_name().name() == name)
}

fn number(node: Node<'_, '_>, name: &'static str) -> Option<u64> {
    node.attribute(name)?.trim().parse().ok()
}

/// Planes in other files cannot be found by one path: refuse the set.
fn check_one_file(root: Node<'_, '_>) -> Result<()> {
    if let Some(companion) = elements(root, "BinaryOnly").next() {
        let other = companion.attribute("MetadataFile").unwrap_or("a companion file").to_owned();
        return Err(ImageProblem::SeveralFiles { other });
    }
    let own = root.attribute("UUID");
    let mut files = root
        .descendants()
        .filter(|node| node.tag_name().name() == "UUID")
        .map(|node| (node.text().unwrap_or_default().trim(), node.attribute("FileName")));
    // A renamed file keeps its old name inside, so names count only beside one another.
    let first = files.next();
    let other = match (own, first) {
        (Some(own), Some((uuid, name))) if uuid != own => Some((uuid, name)),
        _ => first.and_then(|(uuid, _)| files.find(|&(other, _)| other != uuid)),
    };
    match other {
        Some((uuid, name)) => {
            Err(ImageProblem::SeveralFiles { other: name.unwrap_or(uuid).to_owned() })
        }
        None => Ok(()),
    }
}

/// The grid of pages, and the number of channels: a page of RGB holds three.
fn grid(pixels: Node<'_, '_>, order: &str, page: &Page) -> Result<(PlaneGrid, usize)> {
    let size = |name| number(pixels, name).ok_or(ImageProblem::OmeXml { what: name });
    let (t, c, z) = (size("SizeT")?, size("SizeC")?, size("SizeZ")?);
    let samples = page.samples as u64;
    if !c.is_multiple_of(samples) {
        return Err(ImageProblem::OmeXml { what: "SizeC (it does not fit the colour samples)" });
    }
    let lengths = order.chars().skip(2).map(|letter| match letter {
        'Z' => Ok((Axis::Z, z)),
        'C' => Ok((Axis::Channel, c / samples)),
        'T' => Ok((Axis::Time, t)),
        _ => Err(ImageProblem::OmeXml { what: "DimensionOrder" }),
    });
    let lengths = lengths.collect::<Result<Vec<_>>>()?;
    let fault = ImageProblem::OmeXml { what: "DimensionOrder" };
    let Ok(lengths) = <[_; 3]>::try_from(lengths) else { return Err(fault) };
    let is_permutation = [Axis::Z, Axis::Channel, Axis::Time]
        .into_iter()
        .all(|axis| lengths.iter().any(|&(found, _)| found == axis));
    if !order.starts_with("XY") || !is_permutation {
        return Err(fault);
    }
    Ok((PlaneGrid::new(lengths), c as usize))
}

fn size_warnings(pixels: Node<'_, '_>, page: &Page) -> Vec<String> {
    let stated = (number(pixels, "SizeX"), number(pixels, "SizeY"));
    if stated == (Some(page.width as u64), Some(page.height as u64)) {
        return Vec::new();
    }
    vec![format!(
        "OME-XML states other sizes of x and y than the pages have ({} × {}); the pages are believed",
        page.width, page.height
    )]
}

/// The page of every plane in the order t, c, z, from the `TiffData` elements.
fn plane_pages(
    pixels: Node<'_, '_>,
    grid: &PlaneGrid,
    samples: usize,
    n_pages: usize,
) -> Result<Vec<usize>> {
    let n_planes = grid.n_planes() as usize; // checked against the pages
    let mut stored = vec![None; n_planes];
    let mut blocks = elements(pixels, "TiffData").peekable();
    if blocks.peek().is_none() {
        (0..n_planes).for_each(|i| stored[i] = Some(i));
    }
    for block in blocks {
        let first = |name| number(block, name).unwrap_or(0) as usize;
        let (t, c, z) = (first("FirstT"), first("FirstC") / samples, first("FirstZ"));
        if t >= grid.t as usize || c >= grid.c as usize || z >= grid.z as usize {
            continue;
        }
        let page = number(block, "IFD");
        let count = match (number(block, "PlaneCount"), page) {
            (Some(count), _) => count as usize,
            (None, Some(_)) => 1,
            (None, None) => n_planes,
        };
        let start = grid.place(t, c, z);
        let page = page.unwrap_or(0) as usize;
        for (i, slot) in stored.iter_mut().skip(start).take(count).enumerate() {
            *slot = page.checked_add(i).filter(|&page| page < n_pages);
        }
    }
    let mut pages = Vec::with_capacity(n_planes);
    for t in 0..grid.t as usize {
        for c in 0..grid.c as usize {
            for z in 0..grid.z as usize {
                let page = stored[grid.place(t, c, z)];
                pages.push(page.ok_or(ImageProblem::MissingPlane { t, c, z })?);
            }
        }
    }
    Ok(pages)
}

fn channel_names(pixels: Node<'_, '_>, n_channels: usize) -> Vec<Option<String>> {
    let mut names = Vec::new();
    for channel in elements(pixels, "Channel").take(n_channels) {
        let name = channel.attribute("Name").map(str::trim).filter(|name| !name.is_empty());
        let samples = number(channel, "SamplesPerPixel").unwrap_or(1).clamp(1, 4);
        let name = name.filter(|_| samples == 1).map(str::to_owned);
        names.extend(std::iter::repeat_n(name, samples as usize));
    }
    names.resize(n_channels, None);
    names
}

fn calibration(pixels: Node<'_, '_>) -> Calibration {
    let side = |size: &'static str, unit: &'static str| {
        let size = pixels.attribute(size)?.trim().parse::<f64>().ok()?;
        Some(size * um_per(pixels.attribute(unit).unwrap_or("µm"))?)
    };
    Calibration {
        um: [
            side("PhysicalSizeZ", "PhysicalSizeZUnit"),
            side("PhysicalSizeY", "PhysicalSizeYUnit"),
            side("PhysicalSizeX", "PhysicalSizeXUnit"),
        ],
        source: "OME-XML PhysicalSize".to_owned(),
        warnings: Vec::new(),
    }
}
