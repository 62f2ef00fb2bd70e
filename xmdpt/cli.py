"""The command line: `xmdpt COMMAND --help`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from xmdpt.config import MIN_STEPS, ConfigError
from xmdpt.support.arguments import BadInput, check_file, check_new, one_line, pick_device

app = typer.Typer(
    help="X-MDPT: put a person into another pose.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Weights = Annotated[
    Path | None, typer.Option(help="Pipeline folder; default: the small weights that ship.")
]
Device = Annotated[str | None, typer.Option(help="Default: a GPU where there is one.")]


@app.command()
def profile(
    name: Annotated[str | None, typer.Argument(help="Profile to put in place.")] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace changes made by hand; params.yaml.bak keeps them."),
    ] = False,
) -> None:
    """Put a profile in place as params.yaml; without NAME, list them (* is in place).

    Examples: xmdpt profile, xmdpt profile smoke.
    """
    from xmdpt.stages.profiles import list_profiles, put_in_place

    if name is None:
        list_profiles()
    else:
        put_in_place(name, force)


@app.command()
def survey(
    folder: Annotated[Path, typer.Argument(help="DeepFashion, or a data set of your own.")],
    size: Annotated[int, typer.Option(help="Side in pixels of the squared pictures.")] = 256,
    read: Annotated[
        bool, typer.Option("--read", help="Decode every picture too, which takes minutes.")
    ] = False,
) -> None:
    """Say what a data set holds, what it lacks, where to get that, and where to put it.

    Example: xmdpt survey data/raw/deepfashion --read.
    """
    from xmdpt.data.prepare import read_all
    from xmdpt.data.stores import DataError
    from xmdpt.data.survey import survey as look_through

    with one_line(DataError):
        found = look_through(folder, size)
        print(found)
        found.require()
        if read:
            print(f"{len(read_all(found.open(), found.names)):,} pictures are readable")


@app.command()
def evaluate(
    generated: Annotated[
        list[Path], typer.Argument(help="Folders of results, one per method, named after it.")
    ],
    reference: Annotated[Path, typer.Option(help="Folder or data set with the true pictures.")],
    train: Annotated[
        Path | None, typer.Option(help="The same with the training pictures, for FID and KID.")
    ] = None,
    protocol: Annotated[
        list[str] | None, typer.Option(help="Whose rules; may be given again. Default: pidm.")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="Score only the pairs of this test_pairs.txt or .csv.")
    ] = None,
    own_pairs: Annotated[
        bool,
        typer.Option("--own-pairs", help="Each method on all its pairs, not the shared ones."),
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write everything to this file.")] = None,
    table: Annotated[Path | None, typer.Option(help="Write the tables (Markdown) here.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Folder with networks' files; default: torch.hub's.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Of training statistics; default: below ~/.cache/xmdpt.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap intervals.")] = 0,
    device: Device = None,
) -> None:
    """Score methods' pictures under the field's protocols: pidm, cfld, cfld-512, pcdms, patn,
    leffa, clean, and synthetic (offline stand-ins). docs/evaluation.md tells them apart.

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
        raise BadInput(f"{weights}: no such folder; --weights names one with networks' files")
    with one_line(DataError):
        comparisons = []
        for comparison in compare(
            named(generated),
            reference,
            train,
            list(dict.fromkeys(protocol or ["pidm"])),
            pairs_file=pairs,
            own_pairs=own_pairs,
            seed=seed,
            weights=weights,
            cache_dir=cache,
            device=pick_device(device),
        ):
            print(comparison.as_markdown(), flush=True)
            comparisons.append(comparison)
            write_comparisons(comparisons, json, table)  # kept if a later protocol fails


@app.command()
def generate(
    source: Annotated[Path, typer.Option(help="Photo of the person to draw.")],
    pose: Annotated[Path, typer.Option(help="Photo of the pose, or its joints (.txt, .json).")],
    out: Annotated[Path, typer.Option(help="Picture to write: .png, .jpg or .webp.")],
    source_keypoints: Annotated[
        Path | None, typer.Option(help="Joints on the source, instead of finding them.")
    ] = None,
    pose_keypoints: Annotated[
        Path | None, typer.Option(help="Joints on the photo of the pose, instead of finding them.")
    ] = None,
    source_units: Annotated[
        Literal["pixels", "annotation"],
        typer.Option(help="Of the source's joints: its pixels, or DeepFashion's 256x256 frame."),
    ] = "pixels",
    pose_units: Annotated[
        Literal["pixels", "annotation"], typer.Option(help="The same of the pose's joints.")
    ] = "pixels",
    person: Annotated[int | None, typer.Option(help="Who of several on the source.")] = None,
    pose_person: Annotated[int | None, typer.Option(help="Who of several on the pose.")] = None,
    crop: Annotated[
        bool | None,
        typer.Option(help="Cut to the person; default: yes, but for one person at 750:1101."),
    ] = None,
    remove_background: Annotated[
        bool, typer.Option("--remove-background", help="White around the source's person.")
    ] = False,
    rescale_pose: Annotated[
        bool, typer.Option("--rescale-pose", help="Give the pose the source's limb lengths.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**32, help="Of the first; others follow.")] = 0,
    num: Annotated[int, typer.Option(min=1, max=64, help="Pictures; the best goes to OUT.")] = 1,
    ranking: Annotated[
        Literal["tokens", "st_lpips"],
        typer.Option(help="Closeness to the source that picks the best."),
    ] = "tokens",
    sheet: Annotated[Path | None, typer.Option(help="Contact sheet of all to write.")] = None,
    weights: Weights = None,
    steps: Annotated[int, typer.Option(min=MIN_STEPS, max=1000, help="Denoising steps.")] = 50,
    guidance_scale: Annotated[float, typer.Option(min=0, max=100, help="1 switches it off.")] = 2.0,
    detector: Annotated[str | None, typer.Option(help="RT-DETR: hub name or folder.")] = None,
    pose_estimator: Annotated[str | None, typer.Option(help="ViTPose: the same.")] = None,
    segmenter: Annotated[str | None, typer.Option(help="Mask2Former: the same.")] = None,
    device: Device = None,
    mark: Annotated[
        bool, typer.Option(help='Say "generated by xmdpt" on the picture and in its metadata.')
    ] = True,
) -> None:
    """Draw the person of a photo in the pose of another photo, or of joints in a file.

    Examples:
    xmdpt generate --source me.jpg --pose dancer.jpg --out out.png --num 4 --sheet sheet.png,
    xmdpt generate --source me.jpg --source-keypoints me.json --pose dancer.json --out out.png.
    """
    from xmdpt.data.deepfashion import DataError
    from xmdpt.generate import contact_sheet, generate
    from xmdpt.photos.marking import check_writable, save_picture
    from xmdpt.photos.people import PeopleFinder
    from xmdpt.photos.subjects import Subject

    given = [path for path in (source, pose, source_keypoints, pose_keypoints) if path]
    place = pick_device(device)
    with one_line(DataError):
        for path in [out] if sheet is None else [out, sheet]:
            check_writable(path, given)
            check_file(path)
            given.append(path)
        drawn = generate(
            Subject(source, source_keypoints, source_units, person, crop, "--person"),
            Subject(pose, pose_keypoints, pose_units, pose_person, crop, "--pose-person"),
            weights=weights,
            seeds=range(seed, seed + num),
            ranking=ranking,
            rescale=rescale_pose,
            remove_background=remove_background,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            device=place,
            finder=PeopleFinder(detector, pose_estimator, segmenter, place),
        )
        save_picture(drawn.pictures[drawn.best], out, mark)
        if sheet is not None:
            save_picture(contact_sheet(drawn), sheet, mark)
    print(f"wrote {out}" + (f", the best of {num}: seed {drawn.seeds[drawn.best]}" * (num > 1)))


@app.command()
def demo(
    weights: Weights = None,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: from 7860.")] = None,
    detector: Annotated[str | None, typer.Option(help="RT-DETR: hub name or folder.")] = None,
    pose_estimator: Annotated[str | None, typer.Option(help="ViTPose: the same.")] = None,
    device: Device = None,
) -> None:
    """Open a page to try it: upload a photo, drag the joints of a pose, draw, download.

    Example: xmdpt demo --port 8000.
    """
    import signal
    import threading
    from contextlib import suppress

    from xmdpt.data.deepfashion import DataError

    try:
        from xmdpt.demo.page import serve
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise BadInput("the page needs Gradio: pip install -e '.[demo]'") from None
    from xmdpt.photos.people import PeopleFinder
    from xmdpt.weights.load import load_pipeline

    place = pick_device(device)
    with one_line(DataError):
        finder = PeopleFinder(detector, pose_estimator, device=place)
        pipe = load_pipeline(weights, place)
    for name in {"SIGTERM", "SIGHUP"} & set(dir(signal)):  # so that nothing is left behind
        signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt), serve(pipe, finder, host, port) as address:
            print(f"open {address} (Ctrl-C ends it)", flush=True)
            threading.Event().wait()
    except OSError as error:
        reason = str(error).partition(". ")[0]
        raise BadInput(f"{reason}; choose another --host or --port") from None


@app.command()
def bench(
    models: Annotated[
        str, typer.Option(help="With commas between; all: also what runs once a picture.")
    ] = "x_mdpt_s,x_mdpt_b,x_mdpt_l,pixel_unet,latent_unet",
    repeats: Annotated[int, typer.Option(min=1, help="Rounds through all of them.")] = 2,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Pictures drawn at once; default: 8 on a GPU, else 1.")
    ] = None,
    device: Device = None,
    out: Annotated[Path | None, typer.Option(help="JSON with every number to write.")] = None,
) -> None:
    """Time and memory of the full-size networks on this machine, beside the paper's (Table 3).

    U-Nets stand for PIDM and PoCoLD in cost alone; all weights are random.

    Examples: xmdpt bench, xmdpt bench --models all --repeats 5 --device cuda --out bench.json.
    """
    from functools import partial

    import torch

    from xmdpt.costs.efficiency import measure_costs
    from xmdpt.costs.full_size import NETWORKS
    from xmdpt.costs.tables import efficiency_table, provenance
    from xmdpt.support.files import write_json

    names = list(NETWORKS) if models == "all" else models.split(",")
    if unknown := [name for name in names if name not in NETWORKS]:
        raise BadInput(f"--models: no network '{unknown[0]}'; there are: {', '.join(NETWORKS)}")
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


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="Folder to write; it must not exist.")],
    weights: Weights = None,
    run: Annotated[
        str | None, typer.Option(help="Instead: a trained run of params.yaml, such as base_b.")
    ] = None,
    checkpoint: Annotated[Literal["ablation", "main"], typer.Option(help="Of the run.")] = "main",
    title: Annotated[str, typer.Option(help="Of the model card.")] = "X-MDPT",
    license: Annotated[str, typer.Option(help="Of the weights, for the model card.")] = "other",
) -> None:
    """Write a folder that diffusers loads, with trust_remote_code, where xmdpt is not installed.

    Examples:
    xmdpt export out/mine --run base_b,
    xmdpt export out/xmdpt --weights converted --license apache-2.0.
    """
    from xmdpt.config import load_config
    from xmdpt.data.deepfashion import DataError
    from xmdpt.weights.export import export_pipeline
    from xmdpt.weights.load import load_pipeline
    from xmdpt.weights.runs import load_run

    if run is not None and weights is not None:
        raise BadInput("--run and --weights do not go together")
    check_new(out)
    with one_line(DataError, ValueError):
        if run is None:
            pipe = load_pipeline(weights, "cpu")
        else:
            pipe = load_run(load_config(run=run), run, checkpoint)
        export_pipeline(pipe, out, title, license=license)
    print(f"wrote {out}")


@app.command()
def convert(
    kind: Annotated[Literal["official"], typer.Argument(help="Whose weights: the authors'.")],
    checkpoint: Annotated[Path, typer.Argument(help="ema_*.pt; with --to official, a folder.")],
    out: Annotated[Path, typer.Argument(help="To write; it must not exist.")],
    vae: Annotated[
        Path | None, typer.Option(help="Folder of a VAE; without, OUT is the transformer alone.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare with golden numbers and with the file.")
    ] = False,
    to: Annotated[
        Literal["diffusers", "official"], typer.Option(help="official: the other way round.")
    ] = "diffusers",
) -> None:
    """Bring the authors' published weights into a diffusers folder, or back.

    Examples:
    xmdpt convert official ema_0.9999_300000.pt out --vae vae --verify,
    xmdpt convert official out back.pt --to official.
    """
    from xmdpt.weights.convert import CheckpointError, convert_official, convert_to_official

    if to == "official" and (vae is not None or verify):
        raise BadInput("--vae and --verify do not go with --to official")
    check_new(out)
    with one_line(CheckpointError, ValueError):
        if to == "official":
            convert_to_official(checkpoint, out)
        else:
            convert_official(checkpoint, out, vae, verify)
    print(f"wrote {out}")


@app.command()
def report() -> None:
    """Write reports/index.html from what is in reports/."""
    from xmdpt.stages.report import write_report

    print(f"wrote {write_report()}")


def main() -> None:
    """Run the command line; bad input is one line and exit code 2."""
    try:
        app()
    except (BadInput, ConfigError) as error:
        message = str(error)
    except OSError as error:  # a full disk, a folder that somebody removed
        message = error.strerror or str(error).partition("\n")[0]
        if error.filename is not None:
            message = f"{error.filename}: {message}"
    else:
        return
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
