"""Compares what our readers of scans give with what the Python package `scenezoo` gives.

    cargo run --release --no-default-features -p spatial-ladder-core --example write_scans -- OUT 4 > OURS.json
    pip install scenezoo
    python tests/scenezoo/compare.py OUT OURS.json

The first command writes the scans and prints how we read them. One line is printed for each thing compared, with
the largest difference; the exit status is 1 when any is too large. What `scenezoo` cannot read is listed as such.
"""

import json
import sys
from pathlib import Path

import numpy as np

# Largest differences accepted.
POSE_METRES = 1e-4
INTRINSIC_PIXELS = 1e-3
DEPTH_MILLIMETRES = 0
BOX_METRES = 1e-4
TIME_SECONDS = 1e-4
# Two JPEG decoders may round differently: levels of 255, on average over a picture.
COLOR_LEVELS = 1.0
# We count pixels from the corner of the top left one, these recordings from its middle (COLMAP as we do).
PIXEL_MIDDLE = np.array([0.0, 0.0, 0.5, 0.5])
# NYU40 classes that are no objects.
NO_OBJECTS = {0, 1, 2, 22, 38, 39, 40}


class Report:
    """Prints comparisons and remembers whether one failed."""

    def __init__(self):
        self.failed = 0
        self.compared = 0
        self.skipped = 0

    def check(self, scan, what, difference, accepted):
        self.compared += 1
        good = difference <= accepted
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {scan}: {what}: {difference:.3g} (accepted {accepted:g})")

    def skip(self, scan, what, reason):
        self.skipped += 1
        print(f"--   {scan}: {what}: not compared: {reason}")


def largest(a, b):
    """The largest absolute difference; infinite for different shapes."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        return float("inf")
    return float(np.abs(a - b).max(initial=0.0))


def compare_scannet(root, ours, report):
    from scenezoo.dataset.scene.scannet import ScanNet

    for name, scan in ours.items():
        maps = [Path("scans") / name, Path("scans"), Path(".")]
        found = [m for m in maps if (root / m / "scannetv2-labels.combined.tsv").is_file()]
        dataset = ScanNet(root, label_mapping_file=str(found[0] / "scannetv2-labels.combined.tsv"), offline=True)
        alignment = dataset.get_alignment(name).astype(np.float64)
        compare_surface(dataset, name, scan, alignment, report)
        if not (root / f"scans/{name}/{name}.sens").is_file():
            report.skip(name, "frames", "scenezoo reads no exported frames")
            continue
        compare_frames(dataset, name, scan, alignment, report)


def compare_surface(dataset, name, scan, alignment, report):
    mesh = dataset.get_mesh(name)
    vertices = np.asarray(mesh.vertices) @ alignment[:3, :3].T + alignment[:3, 3]
    report.check(name, "vertices", abs(len(vertices) - scan["vertices"]), 0)
    report.check(name, "triangles", abs(len(mesh.triangles) - scan["triangles"]), 0)
    segmentation = dataset.get_segmentation(name)
    labels = dataset.metadata["label_mapping"]
    theirs = []
    for instance, label in segmentation.id_to_name.items():
        if int(labels.get(label, {}).get("nyu40id", -1)) in NO_OBJECTS:
            continue
        points = vertices[segmentation.labels == instance]
        theirs.append((label, *points.min(axis=0), *points.max(axis=0)))
    mine = [(item["label"], *item["low"], *item["high"]) for item in scan["objects"]]
    # In the order of the annotation on both sides.
    report.check(name, f"labels of {len(mine)} objects", float([t[0] for t in theirs] != [m[0] for m in mine]), 0)
    report.check(name, "boxes", largest([t[1:] for t in theirs], [m[1:] for m in mine]), BOX_METRES)


def compare_frames(dataset, name, scan, alignment, report):
    frames = scan["frames"]
    batch = dataset.get_frames(name, items=("timestamps", "rgb_intrinsics", "world_to_camera"))
    poses = alignment @ np.linalg.inv(batch.world_to_camera.astype(np.float64))
    report.check(name, f"poses of {len(frames)} frames", largest(poses, [f["camera_to_world"] for f in frames]), POSE_METRES)
    mine = [[f["intrinsics"][key] for key in ("fx", "fy", "cx", "cy")] for f in frames]
    k = batch.rgb_intrinsics
    theirs = np.stack([k[:, 0, 0], k[:, 1, 1], k[:, 0, 2], k[:, 1, 2]], axis=1)
    report.check(name, "intrinsics", largest(theirs + PIXEL_MIDDLE, mine), INTRINSIC_PIXELS)
    times = batch.timestamps[:, 0].astype(np.float64) / 1e6
    report.check(name, "times", largest(times - times[0], [f["time"] for f in frames]), TIME_SECONDS)
    compare_pictures(dataset, name, frames, report)


def compare_pictures(dataset, name, frames, report):
    from scenezoo.dataset.base import DataFormatError

    try:
        depth = dataset.get_frames(name, items=("depth",)).depth
    except DataFormatError as error:
        report.skip(name, "depth", str(error))
    else:
        # In metres or in the sensor's millimetres.
        scale = 1000.0 if np.issubdtype(depth.dtype, np.floating) else 1.0
        mine = [np.reshape(f["depth"]["millimetres"], (f["depth"]["height"], -1)) for f in frames]
        report.check(name, "depth", largest(np.rint(depth * scale), mine), DEPTH_MILLIMETRES)
    try:
        color = dataset.get_frames(name, items=("rgb",)).rgb
    except DataFormatError as error:
        report.skip(name, "colours", str(error))
    else:
        off = []
        for theirs, frame in zip(color, frames, strict=True):
            sampled = theirs.reshape(-1, 3)[:: frame["color_stride"]].astype(np.float64)
            off.append(np.abs(sampled - frame["color"]).mean())
        report.check(name, "colours", max(off), COLOR_LEVELS)


def compare_arkitscenes(root, ours, report):
    from scenezoo.dataset.scene.arkitscenes import ARKitScenes

    dataset = ARKitScenes(root, offline=True)
    for name, scan in ours.items():
        batch = dataset.get_frames(
            name, source="lowres_wide", items=("rgb", "rgb_intrinsics", "world_to_camera", "depth")
        )
        compare_batch(name, scan["frames"], batch, report, PIXEL_MIDDLE)
    report.skip("ARKitScenes", "boxes", "scenezoo recomputes them from the mesh")


def compare_scannetpp(root, ours, report):
    from scenezoo.dataset.scene.scannetpp import ScanNetPP

    dataset = ScanNetPP(root, offline=True)
    for name, scan in ours.items():
        batch = dataset.get_frames(
            name, source="iphone_colmap", items=("rgb", "rgb_intrinsics", "world_to_camera", "depth")
        )
        compare_batch(name, scan["frames"], batch, report, 0.0)
    report.skip("ScanNet++", "iphone/rgb.mkv", "there is no video encoder here")


def compare_batch(name, frames, batch, report, pixel_middle):
    poses = np.linalg.inv(batch.world_to_camera.astype(np.float64))
    report.check(name, f"poses of {len(frames)} frames", largest(poses, [f["camera_to_world"] for f in frames]), POSE_METRES)
    mine = [[f["intrinsics"][key] for key in ("fx", "fy", "cx", "cy")] for f in frames]
    k = batch.rgb_intrinsics
    theirs = np.stack([k[:, 0, 0], k[:, 1, 1], k[:, 0, 2], k[:, 1, 2]], axis=1)
    report.check(name, "intrinsics", largest(theirs + pixel_middle, mine), INTRINSIC_PIXELS)
    mine = [np.reshape(f["depth"]["millimetres"], (f["depth"]["height"], -1)) for f in frames]
    report.check(name, "depth", largest(np.rint(batch.depth * 1000.0), mine), DEPTH_MILLIMETRES)
    off = []
    for theirs, frame in zip(batch.rgb, frames, strict=True):
        sampled = theirs.reshape(-1, 3)[:: frame["color_stride"]].astype(np.float64)
        off.append(np.abs(sampled - frame["color"]).mean())
    report.check(name, "colours", max(off), COLOR_LEVELS)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    root, ours = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    report = Report()
    if "scannet" in ours:
        compare_scannet(root / "scannet", ours["scannet"], report)
    if "arkitscenes" in ours:
        compare_arkitscenes(root / "arkitscenes", ours["arkitscenes"], report)
    if "scannetpp" in ours:
        compare_scannetpp(root / "scannetpp", ours["scannetpp"], report)
    print(f"{report.compared} compared, {report.failed} failed, {report.skipped} not comparable")
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
