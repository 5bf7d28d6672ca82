"""The published exploded view (section 12's rule) of published segmentations in 2D and 3D, as checksums.

usage: python tests/reference/features_explode.py REAL_DATA_FOLDER
prints the shape, the number of drawn voxels and a checksum of each, which `features/tests/real.rs` holds.
"""
import sys
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage as ndi

FILES = ["zfish_membrane_2d/zfish_memGFP_2d_seg.tif", "cells3d_nuclei/nuclei_label_cellprofiler.tif"]


def exploded(labels):
    n = labels.max()
    centres = np.array(ndi.center_of_mass(labels > 0, labels, np.arange(1, n + 1)))
    shifts = np.trunc(0.7 * centres).astype(int)
    places = np.nonzero(labels)
    values = labels[places]
    out = np.zeros(np.floor(1.7 * np.array(labels.shape) + 1).astype(int), int)
    out[tuple(place + shifts[values - 1, axis] for axis, place in enumerate(places))] = values
    return out


def checksum(values):
    total = 0
    for value in values.ravel().tolist():
        total = (total * 31 + value) % (1 << 32)
    return total


for file in FILES:
    out = exploded(tifffile.imread(Path(sys.argv[1]) / file))
    print(file, out.shape, np.count_nonzero(out), checksum(out))
