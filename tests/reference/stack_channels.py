"""Writes one stack ZCYX of several stacks ZYX: what `scipy_features.py` reads.

    python stack_channels.py OUT.tif STACK.tif...

Run with tifffile 2026.3.3, numpy 2.4.6.
"""

import sys

import numpy as np
import tifffile

if __name__ == "__main__" and len(sys.argv) > 1:
    stacks = [tifffile.imread(path) for path in sys.argv[2:]]
    tifffile.imwrite(sys.argv[1], np.stack(stacks, axis=1), photometric="minisblack", metadata={"axes": "ZCYX"})
