"""Commands that check data sets, score pictures and measure costs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from xmdpt.commands.options import Device
from xmdpt.support.arguments import BadInput, check_file, one_line, pick_device


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
) -> None:
    """Say what a data set holds, what is missing, where to get it, and where to put it.

    Example: xmdpt survey data/raw/deepfashion --read.
    """
    from xmdpt.data.prepare import joint_remarks, read_all
    from xmdpt.data.stores import DataError
    from xmdpt.data.survey import survey as look_through

    with one_line(DataError):
        found = look_through(folder, size)
        print(found)
        found.require()
        if read:
            readings = read_all(found.open(), found.names, low_resolution=low_resolution)
            for remark in joint_remarks(readings):
                if remark not in found.notes:
                    print(f"note: {remark}")
            print(f"{len(readings):,} pictures are readable")


def evaluate(
    generated: Annotated[
        list[Path], typer.Argument(help="Folders of results, one per method, named after it.")
    ],
    reference: Annotated[Path, typer.Option(help="Folder or data set with the true pictures.")],
    train: Annotated[
        Path | None,
        typer.Option(help="Folder or data set with the training pictures, for FID and KID."),
    ] = None,
    protocol: Annotated[
        list[str] | None, typer.Option(help="Scoring protocol; repeatable. Default: pidm.")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="Score only the pairs in this test_pairs.txt or .csv.")
    ] = None,
    own_pairs: Annotated[
        bool,
        typer.Option(
            "--own-pairs", help="Score each method on all its pairs, not only on shared ones."
        ),
    ] = False,
    any_shape: Annotated[
        bool,
        typer.Option(
            "--any-shape", help="Also score results of another shape than their references."
        ),
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write everything to this file.")] = None,
    table: Annotated[Path | None, typer.Option(help="Write the tables (Markdown) here.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Folder with the metrics' networks; default: torch.hub's.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Cache of training statistics; default: ~/.cache/xmdpt.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap intervals.")] = 0,
    device: Device = None,
) -> None:
    """Score methods' pictures under the field's protocols: pidm, cfld, cfld-512, pcdms, patn,
    leffa, clean, and synthetic (offline stand-ins). docs/evaluate.md explains them.

    Examples:
    xmdpt evaluate results/xmdpt --reference data/raw/deepfashion --train data/raw/deepfashion,
    xmdpt evaluate results/* --reference test/ --protocol pidm --protocol cfld --json scores.json.
    """
    from xmdpt.data.stores import DataError
    from xmdpt.evaluation.compare import compare, named, write_comparisons
    from xmdpt.evaluation.features import default_cache

    cache = cache or default_cache()
    for path in filter(None, (json, table, train and cache / "statistics")):
        check_file(path)
    if weights is not None and not weights.is_dir():
        raise BadInput(
            f"{weights}: no such folder; --weights names a folder with the metrics' networks"
        )
    with one_line(DataError):
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
            cache_dir=cache,
            device=pick_device(device),
        ):
            print(comparison.as_markdown(), flush=True)
            comparisons.append(comparison)
            write_comparisons(comparisons, json, table)  # kept if a later protocol fails


def bench(
    models: Annotated[
        str, typer.Option(help="Comma-separated; `all` adds the VAE and DINOv2.")
    ] = "x_mdpt_s,x_mdpt_b,x_mdpt_l,pixel_unet,latent_unet",
    repeats: Annotated[int, typer.Option(min=1, help="Rounds through all networks.")] = 2,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Pictures drawn at once; default: 8 on a GPU, else 1.")
    ] = None,
    device: Device = None,
    out: Annotated[Path | None, typer.Option(help="Write every number to this JSON file.")] = None,
) -> None:
    """Measure time and memory of the full-size networks here, beside the paper's (Table 3).

    U-Nets stand in for the cost of PIDM and PoCoLD; all weights are random.

    Examples: xmdpt bench, xmdpt bench --models all --repeats 5 --device cuda --out bench.json.
    """
    from functools import partial

    import torch

    from xmdpt.costs.efficiency import measure_costs
    from xmdpt.costs.full_size import NETWORKS
    from xmdpt.costs.tables import efficiency_table, provenance
    from xmdpt.support.files import write_json

    asked = list(NETWORKS) if models == "all" else models.split(",")
    if unknown := [name for name in asked if name not in NETWORKS]:
        raise BadInput(f"--models: no network '{unknown[0]}'; there are: {', '.join(NETWORKS)}")
    names = [name for name in NETWORKS if name in asked]
    if out is not None:
        check_file(out)
    place = torch.device(pick_device(device))
    size = batch_size or (8 if place.type == "cuda" else 1)
    show = partial(print, file=sys.stderr)
    measured = measure_costs(names, repeats, size, size, None, place, progress=show)
    table = efficiency_table(measured).set_index("method").T.fillna("")
    print(table.to_markdown(disable_numparse=True))
    print(f"\n{provenance(measured)}")
    if out is not None:
        write_json(out, measured)
