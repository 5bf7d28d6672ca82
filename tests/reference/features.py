"""Shape features of real cells by scikit-image and scipy, cell by cell: what `features/tests/real.rs` compares with.

usage: python tests/reference/features.py REAL_DATA_FOLDER
writes tests/reference/features_{ovule,hipsc}.csv (every tenth cell of the ovule, all cells of the other).
Voxel sizes are declared here, not those of the microscope: they only have to be anisotropic.
The first line of each file names the versions that made it.
"""
import sys
from pathlib import Path

import numpy as np
import scipy
import skimage
import tifffile
from scipy import ndimage as ndi
from skimage.measure import marching_cubes, mesh_surface_area, regionprops

FILES = {
    "ovule": ("plant_ovule_labels_3d/sample_cells_label.tif", (0.4, 0.25, 0.25), 10),
    "hipsc": ("hipsc_TOMM20_labels_3d/TOMM20_cell_segmentation.tif", (0.3, 0.1, 0.1), 1),
}
SHAPE = ndi.generate_binary_structure(3, 1)


def brightness(shape):
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return (7 * z + 3 * y + 5 * x) % 251


def rows(labels, spacing, step):
    bright = brightness(labels.shape)
    for props in regionprops(labels, spacing=spacing)[::step]:
        first = np.array(props.bbox[:3]) - 1
        box = np.pad(labels, 1)[tuple(slice(f + 1, e + 2) for f, e in zip(first, props.bbox[3:]))]
        mask = box == props.label
        vertices, faces, _, _ = marching_cubes(mask.astype(np.float32), 0.5, spacing=spacing)
        shell = ndi.binary_dilation(mask, SHAPE) & ~mask
        neighbours = np.setdiff1d(box[shell], [0]).size
        inside = bright[props.slice][props.image]
        covariance = np.cov(np.argwhere(mask) * spacing, rowvar=False, bias=True)
        yield [
            props.label,
            props.area,
            *props.centroid[::-1],
            mesh_surface_area(vertices, faces),
            neighbours,
            *np.sort(np.sqrt(5 * np.linalg.eigvalsh(covariance + np.diag(np.square(spacing)) / 12)))[::-1],
            inside.sum(),
            ndi.label(mask, np.ones((3, 3, 3)))[1],
        ]


for name, (path, spacing, step) in FILES.items():
    labels = tifffile.imread(Path(sys.argv[1]) / path)
    header = "label,volume_um3,x_um,y_um,z_um,surface_marching_cubes_um2,n_neighbours,inertia_axis_major_um,inertia_axis_medium_um,inertia_axis_minor_um,sum_whole,n_pieces"
    with open(Path(__file__).parent / f"features_{name}.csv", "w") as out:
        print(f"# scikit-image {skimage.__version__}, scipy {scipy.__version__}, numpy {np.__version__}; voxels of {spacing} um", file=out)
        print(header, file=out)
        for row in rows(labels, np.array(spacing), step):
            print(",".join(f"{value:.9g}" for value in row), file=out)
