"""The published exploded view (section 12's rule) of a published 2D segmentation, as run lengths of a checksum.

usage: python tests/reference/features_explode.py REAL_DATA_FOLDER
prints the shape, the number of drawn voxels and a checksum, which `features/tests/real.rs` holds.
"""
import sys
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage as ndi

labels = tifffile.imread(Path(sys.argv[1]) / "zfish_membrane_2d/zfish_memGFP_2d_seg.tif")
n = labels.max()
centres = np.array(ndi.center_of_mass(labels > 0, labels, np.arange(1, n + 1)))
shifts = np.trunc(0.7 * centres).astype(int)
places = np.nonzero(labels)
values = labels[places]
out = np.zeros(np.floor(1.7 * np.array(labels.shape) + 1).astype(int), int)
out[tuple(place + shifts[values - 1, axis] for axis, place in enumerate(places))] = values
checksum = 0
for value in out.ravel().tolist():
    checksum = (checksum * 31 + value) % (1 << 32)
print(out.shape, np.count_nonzero(out), checksum)
