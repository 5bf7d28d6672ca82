"""Writes image files as other software does, with what a reader should find in them.

Usage: image_peers.py write FOLDER | check FOLDER | real FOLDER OUT
Run with tifffile, imagecodecs, h5py and numpy; data/tests/image_peers.rs calls it.
"""

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import tifffile

OUT = Path(sys.argv[2])
CASES = []


def stack(shape, dtype, seed=0):
    """Smooth structure with noise, so that predictors and runs both have something to do."""
    rng = np.random.default_rng(seed)
    values = np.indices(shape).sum(axis=0) * 3 + rng.integers(0, 20, shape)
    return (values % 251).astype(dtype)


def expect(name, channels, **facts):
    """channels: list of [z, y, x] arrays, saved as raw little-endian numbers beside the file."""
    raw = []
    for i, channel in enumerate(channels):
        file = f"{name}.{i}.raw"
        channel.astype(channel.dtype.newbyteorder("<")).tofile(OUT / file)
        raw.append(file)
    first = channels[0]
    CASES.append(
        dict(
            file=name,
            raw=raw,
            shape=list(first.shape),
            dtype=first.dtype.name,
            names=facts.get("names", [None] * len(channels)),
            voxel_size=facts.get("voxel_size"),
            dataset=facts.get("dataset"),
            timepoint=facts.get("timepoint"),
        )
    )


def plain(name, data, **options):
    tifffile.imwrite(OUT / name, data, metadata=None, photometric="minisblack", **options)
    expect(name, [data])


def write_tiff():
    zyx = (5, 33, 47)
    for order in "<>":
        for dtype in ["u1", "u2", "u4", "f4", "f8"]:
            plain(f"plain_{'le' if order == '<' else 'be'}_{dtype}.tif", stack(zyx, dtype), byteorder=order)
    for big in [False, True]:
        plain(f"big_{big}.tif", stack(zyx, "u2"), bigtiff=big)
    for compression in ["lzw", "zlib", "zstd", "packbits"]:
        for dtype in ["u1", "u2", "f4"]:
            for order in "<>":
                plain(f"{compression}_{dtype}_{ord(order)}.tif", stack(zyx, dtype), compression=compression,
                      byteorder=order, rowsperstrip=7)
    for compression in ["lzw", "zlib", "zstd"]:
        for dtype in ["u1", "u2", "u4"]:
            plain(f"predictor2_{compression}_{dtype}.tif", stack(zyx, dtype), compression=compression, predictor=2,
                  byteorder=">" if dtype == "u2" else "<")
    for dtype in ["f4", "f8"]:
        for order in "<>":
            plain(f"predictor3_{dtype}_{ord(order)}.tif", stack(zyx, dtype) / np.dtype(dtype).type(7),
                  compression="zlib", predictor=3, byteorder=order)
    for compression in [None, "zlib", "lzw", "zstd"]:
        plain(f"tiles_{compression}.tif", stack(zyx, "u2"), tile=(16, 32), compression=compression)
    plain("tiles_wide.tif", stack((2, 33, 16), "u1"), tile=(16, 16), compression="zstd")
    plain("tiles_predictor.tif", stack(zyx, "u2"), tile=(16, 16), compression="zlib", predictor=2)
    plain("strips.tif", stack(zyx, "u2"), rowsperstrip=4)
    plain("one.tif", stack((1, 20, 30), "u1"))
    for dtype in ["i1", "i2", "i4", "i8", "u8"]:
        data = (stack(zyx, "u1") // 2).astype(dtype)
        tifffile.imwrite(OUT / f"signed_{dtype}.tif", data, metadata=None, photometric="minisblack")
        expect(f"signed_{dtype}.tif", [data.astype({"i1": "u1", "i2": "u2"}.get(dtype, "u4"))])
    for planar in ["contig", "separate"]:
        shape = (4, 20, 30, 3) if planar == "contig" else (4, 3, 20, 30)
        data = stack(shape, "u1")
        for compression in [None, "zlib"]:
            name = f"rgb_{planar}_{compression}.tif"
            tifffile.imwrite(OUT / name, data, photometric="rgb", planarconfig=planar, compression=compression,
                             metadata=None, predictor=2 if compression else None)
            axis = 3 if planar == "contig" else 1
            expect(name, [np.take(data, i, axis) for i in range(3)])
    shaped = stack((2, 5, 20, 30), "u2")
    tifffile.imwrite(OUT / "shaped_czyx.tif", shaped, metadata={"axes": "CZYX"}, photometric="minisblack")
    expect("shaped_czyx.tif", list(shaped))
    tifffile.imwrite(OUT / "shaped_zcyx.tif", shaped, metadata={
        "axes": "ZCYX", "voxel_size_zyx_um": [0.5, 0.2, 0.1], "Channel": {"Name": list("abcde")}}, photometric="minisblack")
    expect("shaped_zcyx.tif", [shaped[:, i] for i in range(5)], voxel_size=[0.5, 0.2, 0.1], names=list("abcde"))
    tifffile.imwrite(OUT / "shaped_plain.tif", shaped[0], photometric="minisblack")
    expect("shaped_plain.tif", [shaped[0]])
    tifffile.imwrite(OUT / "shaped_unit.tif", shaped[0], photometric="minisblack", resolution=(1 / 100, 1 / 200),
                     metadata={"axes": "ZYX", "spacing": 500, "unit": "nm"})
    expect("shaped_unit.tif", [shaped[0]], voxel_size=[0.5, 0.2, 0.1])
    tifffile.imwrite(OUT / "shaped_truncated.tif", shaped[0], photometric="minisblack", contiguous=True)
    expect("shaped_truncated.tif", [shaped[0]])


def write_imagej():
    for order in "<>":
        for dtype in ["u1", "u2", "f4"]:
            data = stack((3, 2, 20, 30), dtype)  # ZCYX
            name = f"imagej_{dtype}_{ord(order)}.tif"
            tifffile.imwrite(OUT / name, data, imagej=True, byteorder=order, resolution=(1 / 0.1, 1 / 0.2),
                             metadata={"axes": "ZCYX", "spacing": 0.5, "unit": "um",
                                       "Labels": ["membrane", "actin"] * 3})
            expect(name, [data[:, 0], data[:, 1]], voxel_size=[0.5, 0.2, 0.1], names=["membrane", "actin"])
    data = stack((4, 20, 30), "u2")
    units = {"micron": 1, "\\u00B5m": 1, "um": 1, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "inch": 25400, "pixel": None}
    for i, (unit, um) in enumerate(units.items()):
        scale = 1 / (um or 1)
        tifffile.imwrite(OUT / f"imagej_unit_{i}.tif", data, imagej=True, resolution=(5 / scale, 5 / scale),
                         metadata={"axes": "ZYX", "spacing": 0.5 * scale, "unit": unit})
        expect(f"imagej_unit_{i}.tif", [data], voxel_size=um and [0.5, 0.2, 0.2])
    for i, metadata in enumerate([{"spacing": 0.5}, {"unit": "um"}, {"unit": "um", "spacing": 0}]):
        tifffile.imwrite(OUT / f"imagej_lacks_{i}.tif", data, imagej=True,
                         resolution=(5, 5) if "unit" in metadata else None, metadata={"axes": "ZYX", **metadata})
        expect(f"imagej_lacks_{i}.tif", [data])
    time = stack((3, 4, 2, 20, 30), "u1")
    tifffile.imwrite(OUT / "imagej_time.tif", time, imagej=True, metadata={"axes": "TZCYX"})
    expect("imagej_time.tif", [time[2, :, 0], time[2, :, 1]], timepoint=2)
    tifffile.imwrite(OUT / "imagej_compressed.tif", data, imagej=True, compression="zlib", metadata={"axes": "ZYX"})
    expect("imagej_compressed.tif", [data])
    rgb = stack((4, 20, 30, 3), "u1")
    tifffile.imwrite(OUT / "imagej_rgb.tif", rgb, imagej=True, metadata={"axes": "ZYXS"})
    expect("imagej_rgb.tif", [rgb[..., i] for i in range(3)])
    # Fiji's habit above 4 GB: one directory, then all planes. Fiji itself writes spacing only if it is not 1.
    for order in "<>":
        name = f"imagej_one_directory_{ord(order)}.tif"
        description = "ImageJ=1.53t\nimages=8\nchannels=2\nslices=4\nhyperstack=true\nunit=micron\n"
        hyperstack = stack((4, 2, 20, 30), "u2")
        with tifffile.TiffWriter(OUT / name, byteorder=order) as tif:
            tif.write(hyperstack[0, 0], description=description, metadata=None, resolution=(10, 10), resolutionunit=1,
                      software=None)
        page = hyperstack.astype(f"{order}u2").tobytes()
        with tifffile.TiffFile(OUT / name) as tif:
            start = tif.pages[0].dataoffsets[0]
        with open(OUT / name, "r+b") as file:
            file.seek(start)
            file.write(page)
        expect(name, [hyperstack[:, 0], hyperstack[:, 1]], voxel_size=[1.0, 0.1, 0.1])


def write_ome():
    names = ["membrane", "Äktin & <co>"]
    for i, axes in enumerate(["TCZYX", "TZCYX", "CTZYX", "CZTYX", "ZTCYX", "ZCTYX"]):
        sizes = dict(T=2, C=2, Z=3, Y=20, X=30)
        data = stack([sizes[a] for a in axes], "u2", seed=i)
        tifffile.imwrite(OUT / f"ome_{axes}.ome.tif", data, ome=True, photometric="minisblack", metadata={
            "axes": axes, "Channel": {"Name": names}, "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.2, "PhysicalSizeZ": 0.5})
        tczyx = data.transpose([axes.index(a) for a in "TCZYX"])
        expect(f"ome_{axes}.ome.tif", list(tczyx[1]), names=names, voxel_size=[0.5, 0.2, 0.1], timepoint=1)
    data = stack((3, 20, 30), "u2")
    for unit, um in {"nm": 1e-3, "mm": 1e3, "Å": 1e-4, "in": 25400, "pixel": None, "µm": 1}.items():
        scale = 1 / (um or 1)
        name = f"ome_unit_{ord(unit[0])}_{len(unit)}.ome.tif"
        tifffile.imwrite(OUT / name, data, ome=True, photometric="minisblack", metadata={
            "axes": "ZYX", **{f"PhysicalSize{a}": s * scale for a, s in zip("ZYX", [0.5, 0.2, 0.1])},
            **{f"PhysicalSize{a}Unit": unit for a in "ZYX"}})
        expect(name, [data], voxel_size=um and [0.5, 0.2, 0.1])
    for name, options in {"tiled": dict(tile=(16, 16), compression="zlib"), "big": dict(bigtiff=True),
                          "be": dict(byteorder=">"), "lzw": dict(compression="lzw", predictor=2)}.items():
        for dtype in ["u1", "f4"]:
            volume = stack((3, 20, 30), dtype)
            tifffile.imwrite(OUT / f"ome_{name}_{dtype}.ome.tif", volume, ome=True, photometric="minisblack",
                             metadata={"axes": "ZYX"}, **(options if dtype == "u1" or "predictor" not in options else {}))
            expect(f"ome_{name}_{dtype}.ome.tif", [volume])
    rgb = stack((3, 20, 30, 3), "u1")
    tifffile.imwrite(OUT / "ome_rgb.ome.tif", rgb, ome=True, photometric="rgb", metadata={"axes": "ZYXS"})
    expect("ome_rgb.ome.tif", [rgb[..., i] for i in range(3)])
    pyramid = stack((3, 64, 64), "u2")
    with tifffile.TiffWriter(OUT / "ome_pyramid.ome.tif") as tif:
        tif.write(pyramid, subifds=1, tile=(16, 16), metadata={"axes": "ZYX"}, photometric="minisblack")
        tif.write(pyramid[:, ::2, ::2], subfiletype=1, tile=(16, 16), photometric="minisblack")
    expect("ome_pyramid.ome.tif", [pyramid])


def write_hdf5():
    for dtype in ["u1", "u2", "u4", "f4", "f8", ">u2", ">f4"]:
        data = stack((5, 20, 30), dtype)
        name = f"one_{dtype.replace('>', 'be_')}.h5"
        with h5py.File(OUT / name, "w") as file:
            dataset = file.create_dataset("volume/raw", data=data, chunks=(2, 16, 16), compression="gzip", shuffle=True)
            dataset.attrs["element_size_um"] = [0.5, 0.2, 0.1]
        expect(name, [data.astype(data.dtype.newbyteorder("="))], voxel_size=[0.5, 0.2, 0.1])
    for dtype, as_read in {"i1": "u1", "i2": "u2", "i4": "u4", "i8": "u4", "u8": "u4"}.items():
        data = (stack((5, 20, 30), "u1") // 2).astype(dtype)
        with h5py.File(OUT / f"signed_{dtype}.h5", "w") as file:
            file["label"] = data
        expect(f"signed_{dtype}.h5", [data.astype(as_read)])
    data = stack((2, 5, 20, 30), "u2")
    with h5py.File(OUT / "several.h5", "w") as file:
        file["raw"] = data
        file["label"] = data[0]
        file["table"] = np.zeros((3, 2))
        file["raw"].attrs["element_size_um"] = np.array([0.5, 0.2, 0.1], "f4")
    expect("several.h5", list(data), dataset="raw", voxel_size=np.array([0.5, 0.2, 0.1], "f4").astype(float).tolist())
    expect("several.h5", [data[0]], dataset="/label")
    with h5py.File(OUT / "ilastik.h5", "w") as file:
        file["exported_data"] = data.transpose(1, 2, 3, 0)
        file["exported_data"].attrs["axistags"] = json.dumps({"axes": [{"key": key} for key in "zyxc"]})
    expect("ilastik.h5", list(data))
    with h5py.File(OUT / "two_axes.h5", "w") as file:
        file["image"] = data[0, 0]
    expect("two_axes.h5", [data[0, :1]])
    with h5py.File(OUT / "userblock.h5", "w", userblock_size=1024) as file:
        file.create_dataset("raw", data=data[0], fletcher32=True)
    expect("userblock.h5", [data[0]])


def check():
    """What Primordia wrote, as tifffile and h5py see it."""
    found = {}
    for path in sorted(OUT.glob("*.tif")):
        with tifffile.TiffFile(path) as tif:
            series, page = tif.series[0], tif.pages[0]
            pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
            channels = pixels["Channel"]
            channels = channels if isinstance(channels, list) else [channels]
            data = series.asarray()
            per_cm = [page.tags[f"{a}Resolution"].value for a in "YX"]
            found[path.name] = dict(
                axes=series.axes, shape=list(data.shape), dtype=data.dtype.name,
                sum=float((data.astype("f8") * np.arange(1, data.size + 1).reshape(data.shape)).sum()),
                names=[channel["Name"] for channel in channels],
                voxel_size=[float(pixels[f"PhysicalSize{a}"]) for a in "ZYX"],
                units=[pixels[f"PhysicalSize{a}Unit"] for a in "ZYX"],
                tags_um=[1e4 * below / above for above, below in per_cm],
            )
    for path in sorted(OUT.glob("*.h5")):
        with h5py.File(path, "r") as file:
            (name,) = list(file)
            data = file[name][()]
            found[path.name] = dict(
                axes=name, shape=list(data.shape), dtype=data.dtype.name,
                sum=float((data.astype("f8") * np.arange(1, data.size + 1).reshape(data.shape)).sum()),
                names=[str(n) for n in file[name].attrs["channel_names"]],
                voxel_size=file[name].attrs["element_size_um"].tolist(), units=["µm"] * 3, tags_um=[],
            )
    (OUT / "found.json").write_text(json.dumps(found))


def real(out):
    """Real images as tifffile reads them."""
    for path in sorted(OUT.glob("**/*.tif")):
        with tifffile.TiffFile(path) as tif:
            axes, data = tif.series[0].axes, tif.series[0].asarray()
            voxel_size = json.loads(tif.pages[0].description).get("voxel_size_zyx_um")
        missing = [axis for axis in "TCZ" if axis not in axes]
        data = data.reshape((1,) * len(missing) + data.shape)
        axes = "".join(missing) + axes
        tczyx = data.transpose([axes.index(axis) for axis in "TCZYX"])
        last = len(tczyx) - 1
        raw = []
        for i, channel in enumerate(tczyx[last]):
            raw.append(f"{len(CASES)}.{i}.raw")
            channel = channel.astype("u4") if channel.dtype == np.int32 else channel
            channel.astype(channel.dtype.newbyteorder("<")).tofile(Path(out) / raw[-1])
        if voxel_size and len(voxel_size) == 2:
            voxel_size = [voxel_size[1], *voxel_size]
        CASES.append(dict(file=str(path), raw=raw, shape=list(channel.shape), dtype=channel.dtype.name,
                          names=[None] * len(raw), voxel_size=voxel_size, dataset=None, timepoint=last))
    (Path(out) / "cases.json").write_text(json.dumps(CASES))


if sys.argv[1] == "write":
    write_tiff()
    write_imagej()
    write_ome()
    write_hdf5()
    (OUT / "cases.json").write_text(json.dumps(CASES))
elif sys.argv[1] == "check":
    check()
else:
    real(sys.argv[3])
