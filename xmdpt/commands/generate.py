"""`xmdpt generate`: one person in one pose, or many in many."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from xmdpt.commands.answers import Answer, AsJson, answers
from xmdpt.commands.options import (
    DETECTORS,
    OUTPUT,
    SPEED,
    Detector,
    Device,
    PersonScore,
    PoseEstimator,
    Weights,
)
from xmdpt.config import MIN_STEPS
from xmdpt.support.arguments import BadInput, check_file, check_place, one_line, pick_device
from xmdpt.support.start import without_collecting

if TYPE_CHECKING:
    from xmdpt.album import How
    from xmdpt.photos.people import PeopleFinder

PERSON, POSE, PICTURE = "Person", "Pose", "Picture"
Units = Literal["pixels", "annotation"]
OF_THE_SOURCE = ("--source-keypoints", "--person")
"""Options that are of one photo of a person, in however many poses."""


def generate(
    *,
    source: Annotated[
        list[Path],
        typer.Option(
            help="Photo of the person to draw; repeatable, or a folder.", rich_help_panel=PERSON
        ),
    ] = [],  # noqa: B006  # Typer's way to a list
    same_person: Annotated[
        bool,
        typer.Option(
            "--same-person",
            help="All sources are photos of one person, whose looks are averaged.",
            rich_help_panel=PERSON,
        ),
    ] = False,
    source_keypoints: Annotated[
        Path | None,
        typer.Option(
            help="Joints of the source, instead of detecting them.", rich_help_panel=PERSON
        ),
    ] = None,
    source_units: Annotated[
        Units | None,
        typer.Option(
            help="Units of the source's joints: its pixels, or DeepFashion's 256x256 frame; "
            "default: pixels, with a note if the frame fits better.",
            rich_help_panel=PERSON,
        ),
    ] = None,
    person: Annotated[
        int | None,
        typer.Option(
            help="Which person on the source, if there are several.", rich_help_panel=PERSON
        ),
    ] = None,
    any_source: Annotated[
        bool,
        typer.Option(
            "--any-source",
            help="Also accept a source of a single colour, or a skeleton.",
            rich_help_panel=PERSON,
        ),
    ] = False,
    remove_background: Annotated[
        bool,
        typer.Option(
            "--remove-background",
            help="Paint white around the person of the source.",
            rich_help_panel=PERSON,
        ),
    ] = False,
    pose: Annotated[
        list[Path],
        typer.Option(
            help="Photo of the pose, or its joints (.txt, .csv, .json, .npy); repeatable, or a "
            "folder.",
            rich_help_panel=POSE,
        ),
    ] = [],  # noqa: B006
    pose_keypoints: Annotated[
        Path | None,
        typer.Option(
            help="Joints on the photo of the pose, instead of detecting them.",
            rich_help_panel=POSE,
        ),
    ] = None,
    pose_units: Annotated[
        Units | None,
        typer.Option(
            help="Units of the pose's joints, like those of the source.", rich_help_panel=POSE
        ),
    ] = None,
    pose_person: Annotated[
        int | None,
        typer.Option(help="Which person on the photo of the pose.", rich_help_panel=POSE),
    ] = None,
    rescale_pose: Annotated[
        bool,
        typer.Option(
            "--rescale-pose",
            help="Give the pose the proportions of the source's body; its size and place stay.",
            rich_help_panel=POSE,
        ),
    ] = False,
    one_frame: Annotated[
        bool,
        typer.Option(
            "--one-frame",
            help="With many poses: they are of one camera, so one crop holds all of them.",
            rich_help_panel=POSE,
        ),
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option(
            help="Pictures to draw, instead of every person in every pose: a .csv or .json with "
            "source, pose and, optionally, out and seed.",
            rich_help_panel=PICTURE,
        ),
    ] = None,
    crop: Annotated[
        bool | None,
        typer.Option(
            help="Crop to the person; default: yes, unless one person fills a 750:1101 photo.",
            rich_help_panel=PICTURE,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, max=2**32, help="Seed of the first picture.", rich_help_panel=PICTURE),
    ] = 0,
    num: Annotated[
        int,
        typer.Option(
            min=1, max=64, help="How many to draw; the best is kept.", rich_help_panel=PICTURE
        ),
    ] = 1,
    ranking: Annotated[
        Literal["tokens", "st_lpips"],
        typer.Option(
            help="How to measure closeness to the source, to pick the best.",
            rich_help_panel=PICTURE,
        ),
    ] = "tokens",
    guidance_scale: Annotated[
        float,
        typer.Option(min=0, max=100, help="1 switches guidance off.", rich_help_panel=PICTURE),
    ] = 2.0,
    weights: Weights = None,
    preset: Annotated[
        Literal["exact", "fast", "turbo"] | None,
        typer.Option(
            help="exact: the paper's 50 steps; fast: a few learned ones; turbo: a network for "
            "fewer. Default: fast if the weights have it.",
            rich_help_panel=SPEED,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=MIN_STEPS,
            max=1000,
            help="Denoising steps, instead of the preset's.",
            rich_help_panel=SPEED,
        ),
    ] = None,
    device: Device = None,
    detector: Detector = None,
    pose_estimator: PoseEstimator = None,
    segmenter: Annotated[
        str | None,
        typer.Option(help="A Mask2Former: hub name or folder.", rich_help_panel=DETECTORS),
    ] = None,
    person_score: PersonScore = 0.5,
    out: Annotated[
        Path,
        typer.Option(
            help="Picture to write (.png, .jpg or .webp); for many, a folder.",
            rich_help_panel=OUTPUT,
        ),
    ],
    sheet: Annotated[
        Path | None,
        typer.Option(help="Contact sheet of all --num pictures.", rich_help_panel=OUTPUT),
    ] = None,
    gif: Annotated[
        bool,
        typer.Option(
            "--gif",
            help="With many pictures: an animation of each person.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    mark: Annotated[
        bool,
        typer.Option(
            help='Write "generated by xmdpt" on the picture and in its metadata.',
            rich_help_panel=OUTPUT,
        ),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Draw the person of a photo in the pose of another photo, or of joints in a file.

    With several sources or poses, folders, or a table, OUT is a folder. It gets
    every person in every pose, a sheet of all pictures, and a table of what was
    drawn. Run the same command again to continue where it stopped.

    Examples:
    xmdpt generate --source me.jpg --pose dancer.jpg --out out.png --num 4
    xmdpt generate --source me.jpg --pose dancer.json --out out.png
    xmdpt generate --source me.jpg --source you.jpg --pose poses/ --out album
    xmdpt generate --source me.jpg --pose steps/ --one-frame --gif --out dance
    xmdpt generate --source me/ --same-person --pose dancer.json --out out.png
    xmdpt generate --table pictures.csv --out album --json
    """
    with without_collecting():
        from xmdpt.album import How
        from xmdpt.data.deepfashion import DataError
        from xmdpt.photos.people import PeopleFinder

    how = How(
        seed, num, ranking, rescale_pose, remove_background, preset, steps, guidance_scale, crop,
        source_units, pose_units, mark, any_source, source_keypoints, person, one_frame,
    )  # fmt: skip
    place = pick_device(device)
    alone = {
        "--source-keypoints": source_keypoints, "--pose-keypoints": pose_keypoints,
        "--person": person, "--pose-person": pose_person, "--sheet": sheet,
    }  # fmt: skip
    with answers(as_json) as answer, one_line(DataError):
        finder = PeopleFinder(detector, pose_estimator, segmenter, place, person_score)
        more: list[Path] = []  # photos of the one person
        if same_person:
            source, more = _one_person(source, alone)
        if _is_one(source, pose, table):
            for flag, given in {"--gif": gif, "--one-frame": one_frame}.items():
                if given:
                    raise BadInput(f"{flag} needs several poses; this asks for one picture")
            _draw_one([*source, *more], pose[0], alone, out, how, weights, finder, answer)
        else:
            _refuse_alone([flag for flag, value in alone.items() if value is not None], source)
            _draw_many(source, more, pose, table, out, how, weights, finder, gif, answer)


def _one_person(source: Sequence[Path], alone: dict[str, Any]) -> tuple[list[Path], list[Path]]:
    """The first photo of the one person, in a list, and the others."""
    from xmdpt.photos.tables import files_in

    for flag in OF_THE_SOURCE:
        if alone[flag] is not None:
            raise BadInput(f"{flag} needs a single photo; --same-person takes several")
    photos = files_in(source)
    if len(photos) < 2:
        raise BadInput("--same-person takes two photos or more: --source again, or a folder")
    return photos[:1], photos[1:]


def _refuse_alone(given: Sequence[str], source: Sequence[Path]) -> None:
    """Raise BadInput for options that are of one picture, where many are asked for."""
    one_photo = len(source) == 1 and not source[0].is_dir()
    for flag in given:
        of_source = flag in OF_THE_SOURCE
        if not (of_source and one_photo):
            what = "one person" if of_source else "one person and one pose"
            raise BadInput(f"{flag} works with {what} only, and this asks for more")


def _is_one(source: Sequence[Path], pose: Sequence[Path], table: Path | None) -> bool:
    """Whether one picture is asked for; raises BadInput where it is not clear what is."""
    if table is not None:
        if source or pose:
            raise BadInput("--table names sources and poses; leave --source and --pose out")
        return False
    for flag, paths in {"--source": source, "--pose": pose}.items():
        if not paths:
            raise BadInput(f"{flag} is missing")
    return len(source) == len(pose) == 1 and not source[0].is_dir() and not pose[0].is_dir()


def _draw_one(
    photos: Sequence[Path],
    pose: Path,
    alone: dict[str, Any],
    out: Path,
    how: "How",
    weights: Path | None,
    finder: "PeopleFinder",
    answer: Answer,
) -> None:
    from xmdpt.generate import contact_sheet, generate
    from xmdpt.photos.marking import check_writable, save_picture
    from xmdpt.photos.subjects import Subject

    pose_keypoints, sheet = alone["--pose-keypoints"], alone["--sheet"]
    given = [path for path in (*photos, pose, how.source_keypoints, pose_keypoints) if path]
    for path in [out] if sheet is None else [out, sheet]:
        check_writable(path, given)
        check_file(path)
        given.append(path)
    drawn = generate(
        Subject(
            photos[0], how.source_keypoints, how.source_units, how.person, how.crop, "--person"
        ),
        Subject(
            pose, pose_keypoints, how.pose_units, alone["--pose-person"], how.crop, "--pose-person"
        ),
        weights=weights,
        seeds=range(how.seed, how.seed + how.num),
        ranking=how.ranking,
        rescale=how.rescale,
        remove_background=how.remove_background,
        preset=how.preset,
        num_inference_steps=how.num_inference_steps,
        guidance_scale=how.guidance_scale,
        device=finder.device,
        finder=finder,
        any_source=how.any_source,
        more=[Subject(path, crop=how.crop) for path in photos[1:]],
    )
    save_picture(drawn.pictures[drawn.best], out, how.mark)
    if sheet is not None:
        save_picture(contact_sheet(drawn), sheet, how.mark)
    seed = drawn.seeds[drawn.best]
    best = f", the best of {how.num}: seed {seed}"
    closeness = dict(zip(map(str, drawn.seeds), drawn.scores, strict=True))
    answer(
        f"wrote {out}{best * (how.num > 1)}",
        {"out": out, "sheet": sheet, "seed": seed, "closeness": closeness},
    )


def _draw_many(
    source: Sequence[Path],
    more: Sequence[Path],
    pose: Sequence[Path],
    table: Path | None,
    out: Path,
    how: "How",
    weights: Path | None,
    finder: "PeopleFinder",
    gif: bool,
    answer: Answer,
) -> None:
    from functools import partial

    from tqdm import tqdm

    from xmdpt.album import TABLE, Album
    from xmdpt.photos import marking
    from xmdpt.photos.tables import SHEET, every_pair, files_in, gif_names, read_table
    from xmdpt.support.owner import sole_owner
    from xmdpt.weights.load import load_pipeline

    if out.is_file() or out.suffix.lower() in marking.SUFFIXES:
        raise BadInput(f"{out}: many pictures go into a folder; name one")
    check_place(out / TABLE)
    lines = read_table(table) if table else every_pair(files_in(source), files_in(pose, True))
    gifs = gif_names(lines).values() if gif else ()
    pipe = load_pipeline(weights, finder.device)
    # One bar is enough.
    pipe.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with sole_owner(out / TABLE):  # two at once would forget each other's pictures
        album = Album(out, pipe, finder, how, tqdm.write, more)
        album.claim([SHEET, *gifs])
        result = album.draw(lines, partial(tqdm, desc=out.name, unit="batch", disable=None))
        if result.lines:
            written = [album.write_sheet(result.lines)]
            written += album.write_gifs(result.lines) if gif else []
    there = len(result.lines) - result.drawn
    words = f"drew {result.drawn}, found {there} already drawn: {out}"
    words += f"\nwrote {', '.join(map(str, written))}" if written else ""
    answer(
        words,
        {
            "folder": out, "table": out / TABLE, "drawn": result.drawn, "found": there,
            "written": written, "problems": result.problems,
        },
    )  # fmt: skip
    if result.problems:
        for problem in result.problems[1:]:
            tqdm.write(f"error: {problem}")
        missing = len(lines) - len(result.lines)
        raise BadInput(f"{result.problems[0]} ({missing} of {len(lines)} pictures were not drawn)")
