"""Commands that check data sets and score pictures."""

from pathlib import Path
from typing import Annotated, Any

import typer

from xmdpt.commands.answers import AsJson, answers
from xmdpt.commands.options import OUTPUT, SPEED, Device
from xmdpt.support.arguments import BadInput, check_file, check_place, one_line, pick_device

STDOUT = Path("-")
PICTURES, SCORES = "Pictures", "Scores"


def survey(
    folder: Annotated[Path, typer.Argument(help="DeepFashion, or a data set of your own.")],
    size: Annotated[int, typer.Option(help="Side in pixels of the square pictures.")] = 256,
    read: Annotated[
        bool, typer.Option("--read", help="Also decode every picture, which takes minutes.")
    ] = False,
    low_resolution: Annotated[
        bool,
        typer.Option("--low-resolution", help="Accept 256x256 pictures with white sides."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what a data set holds, what is missing, where to get it, and where to put it.

    With --json, `missing` is empty if the data set can be used; the exit code
    says so too.

    Examples:
    xmdpt survey data/raw/deepfashion --read
    xmdpt survey data/raw/deepfashion --json
    """
    from xmdpt.data.prepare import content_remarks, overlap_found, read_all
    from xmdpt.data.stores import DataError
    from xmdpt.data.survey import survey as look_through

    with answers(as_json) as answer, one_line(DataError):
        found = look_through(folder, size)
        value: dict[str, Any] = {"folder": str(folder), **found.as_json(), "missing": found.missing}
        if found.missing or not read:
            answer(str(found), value)
            found.require()
            return
        print(found)
        readings = read_all(found.open(), found.names, low_resolution=low_resolution)
        more = content_remarks(found, readings, overlap_found(found, readings))
        said = [*(f"note: {remark}" for remark in more), f"{len(readings):,} pictures are readable"]
        value |= {"notes": [*found.notes, *more], "readable": len(readings)}
        answer("\n".join(said), value)


def evaluate(
    generated: Annotated[
        list[Path], typer.Argument(help="Folders of results, one per method, named after it.")
    ],
    reference: Annotated[
        Path,
        typer.Option(help="Folder or data set with the true pictures.", rich_help_panel=PICTURES),
    ],
    train: Annotated[
        Path | None,
        typer.Option(
            help="Folder or data set with the training pictures, for FID and KID.",
            rich_help_panel=PICTURES,
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            help="Score only the pairs in this test_pairs.txt or .csv.", rich_help_panel=PICTURES
        ),
    ] = None,
    own_pairs: Annotated[
        bool,
        typer.Option(
            "--own-pairs",
            help="Score each method on all its pairs, not only on shared ones.",
            rich_help_panel=PICTURES,
        ),
    ] = False,
    any_shape: Annotated[
        bool,
        typer.Option(
            "--any-shape",
            help="Also score results of another shape than their references.",
            rich_help_panel=PICTURES,
        ),
    ] = False,
    protocol: Annotated[
        list[str] | None,
        typer.Option(help="Scoring protocol; repeatable. Default: pidm.", rich_help_panel=SCORES),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Seed of the bootstrap intervals.", rich_help_panel=SCORES),
    ] = 0,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Folder with the metrics' networks; default: torch.hub's.",
            rich_help_panel=SPEED,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Cache of training statistics; default: ~/.cache/xmdpt.", rich_help_panel=SPEED
        ),
    ] = None,
    device: Device = None,
    json: Annotated[
        Path | None,
        typer.Option(
            help="Write everything to this file; - is standard output.", rich_help_panel=OUTPUT
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="Write the tables (Markdown) here.", rich_help_panel=OUTPUT),
    ] = None,
) -> None:
    """Score methods' pictures under the field's protocols, which docs/evaluate.md explains.

    They are pidm, cfld, cfld-512, pcdms, patn, leffa, clean, and synthetic
    (offline stand-ins).

    Examples:
    xmdpt evaluate results/mine --reference test/ --train train/
    xmdpt evaluate results/* --reference test/ --protocol pidm --protocol cfld
    xmdpt evaluate results/mine --reference test/ --json -
    """
    from xmdpt.data.stores import DataError
    from xmdpt.evaluation.compare import by_protocol, compare, named, write_comparisons
    from xmdpt.evaluation.features import default_cache

    statistics, as_json = cache / "statistics" if cache else default_cache(), json == STDOUT
    json = None if as_json else json
    for path in filter(None, (json, table)):
        check_file(path)
    if train is not None:
        check_place(statistics / "any")
    if weights is not None and not weights.is_dir():
        raise BadInput(
            f"{weights}: no such folder; --weights names a folder with the metrics' networks"
        )
    with answers(as_json) as answer, one_line(DataError):
        comparisons = []
        for comparison in compare(
            named(generated),
            reference,
            train,
            list(dict.fromkeys(protocol or ["pidm"])),
            pairs_file=pairs,
            own_pairs=own_pairs,
            any_shape=any_shape,
            seed=seed,
            weights=weights,
            cache_dir=statistics,
            device=pick_device(device),
        ):
            print(comparison.as_markdown(), flush=True)
            comparisons.append(comparison)
            write_comparisons(comparisons, json, table)  # kept if a later protocol fails
        if as_json:
            answer("", by_protocol(comparisons))
