"""Opens images and label images as other programs do: TIFF with tifffile, HDF5 with h5py.

    python open_images.py FILE...

Prints a JSON object per file: axes, shape, type, largest value, voxel size z, y, x in µm, and for TIFF
also what ImageJ would take from resolution tags.
Run with tifffile 2026.3.3, h5py 3.16.0, numpy 2.4.6.
"""

import json
import sys
import xml.etree.ElementTree as ElementTree

import h5py
import tifffile


def open_tiff(path):
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        voxels = series.asarray()
        pixels = next(element for element in ElementTree.fromstring(file.ome_metadata).iter() if element.tag.endswith("}Pixels"))
        page = file.pages[0]
        per_unit = [page.tags[tag].value for tag in ("YResolution", "XResolution")]
        unit_um = {2: 25400.0, 3: 10000.0}[int(page.tags["ResolutionUnit"].value)]
        assert all(pixels.get(f"PhysicalSize{axis}Unit", "µm") == "µm" for axis in "ZYX")
        return {
            "axes": series.axes,
            "shape": voxels.shape,
            "type": str(voxels.dtype),
            "largest": float(voxels.max()),
            "voxel_um": [float(pixels.get(f"PhysicalSize{axis}")) for axis in "ZYX"],
            "resolution_um": [unit_um * below / above for above, below in per_unit],
            "channels": [element.get("Name") for element in pixels.iter() if element.tag.endswith("}Channel")],
        }


def open_hdf5(path):
    with h5py.File(path, "r") as file:
        names = [name for name, item in file.items() if isinstance(item, h5py.Dataset)]
        assert len(names) == 1, names
        data = file[names[0]]
        voxels = data[()]
        return {
            "axes": "ZYX",
            "shape": voxels.shape,
            "type": str(voxels.dtype),
            "largest": float(voxels.max()),
            "voxel_um": [float(side) for side in data.attrs["element_size_um"]],
        }


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(json.dumps(open_hdf5(path) if path.endswith(".h5") else open_tiff(path)))
