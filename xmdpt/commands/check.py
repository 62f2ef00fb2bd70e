"""The command that shows how a pose is read."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from xmdpt.commands.answers import AsJson, answers
from xmdpt.commands.options import Detector, Device, PoseEstimator
from xmdpt.support.arguments import BadInput, check_file, one_line, pick_device

ROWS = 12
"""Poses of a folder that are drawn."""


def check(
    pose: Annotated[
        Path,
        typer.Argument(help="Joints (.txt, .csv, .json, .npy), a folder of them, or a picture."),
    ],
    photo: Annotated[Path | None, typer.Option(help="Photo that the joints belong to.")] = None,
    out: Annotated[Path | None, typer.Option(help="Picture of the pose over its photo.")] = None,
    units: Annotated[
        Literal["pixels", "annotation"] | None,
        typer.Option(help="Units of the joints: pixels, or DeepFashion's 256x256 frame."),
    ] = None,
    person: Annotated[int | None, typer.Option(help="Which person, if there are several.")] = None,
    detector: Detector = None,
    pose_estimator: PoseEstimator = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Show how a pose is read (units, person, frame, missing joints), and draw it.

    Examples:
    xmdpt check pose.json --photo me.jpg --out seen.png
    xmdpt check data/synthetic/pose --units annotation
    xmdpt check pose.json --json
    """
    from xmdpt.data.stores import DataError
    from xmdpt.photos.check import check_poses, pose_files, sheet
    from xmdpt.photos.marking import check_writable, save_picture
    from xmdpt.photos.people import PeopleFinder
    from xmdpt.photos.subjects import Subject

    if photo is not None and pose.is_dir():
        raise BadInput(f"--photo {photo}: goes with one pose, but {pose} is a folder")
    with answers(as_json) as answer, one_line(DataError):
        if out is not None:
            check_writable(out, [path for path in (pose, photo) if path])
            check_file(out)
        files = pose_files(pose) if pose.is_dir() else [pose]
        finder = PeopleFinder(detector, pose_estimator, device=pick_device(device))
        pairs = [(photo or path, path if photo else None) for path in files]
        found, bad = check_poses(
            [Subject(*pair, units, person, flag="--person") for pair in pairs], finder
        )
        lines = [line for one in found for line in one.lines]
        if out is not None and found:
            save_picture(sheet([one.picture for one in found[:ROWS]]), out, mark=False)
            lines.append(f"wrote {out}" + f", the first {ROWS}" * (len(found) > ROWS))
        if found or as_json:
            value = {"poses": [one.as_json() for one in found], "unusable": bad}
            answer("\n".join(lines), value)
        if bad:
            first = f"{len(bad)} of {len(files)} poses cannot be used; the first: {bad[0]}"
            raise BadInput(first if pose.is_dir() else bad[0])
