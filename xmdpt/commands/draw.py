"""The page to try it, and commands that convert or export weights."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from xmdpt.commands.options import Detector, Device, PersonScore, PoseEstimator, Weights, run_names
from xmdpt.support.arguments import BadInput, check_new, one_line, pick_device
from xmdpt.support.start import without_collecting


def demo(
    weights: Weights = None,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: the first free one from 7860.")
    ] = None,
    detector: Detector = None,
    pose_estimator: PoseEstimator = None,
    person_score: PersonScore = 0.5,
    device: Device = None,
) -> None:
    """Open a page to try the model: upload a photo, drag the joints of a pose, draw, download.

    Example:
    xmdpt demo --port 8000
    """
    import signal
    from queue import SimpleQueue

    try:
        with without_collecting():
            from xmdpt.data.deepfashion import DataError
            from xmdpt.demo.page import serve
            from xmdpt.photos.people import PeopleFinder
            from xmdpt.weights.load import load_pipeline
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise BadInput("the page needs Gradio: pip install gradio") from None

    place = pick_device(device)
    with one_line(DataError):
        finder = PeopleFinder(detector, pose_estimator, device=place, person_score=person_score)
        pipe = load_pipeline(weights, place)
    # Not KeyboardInterrupt: raised while an object is being deleted it is lost, and the page stays.
    # So that nothing is left behind, the other ways to end it do the same.
    notices: SimpleQueue[int] = SimpleQueue()
    for name in {"SIGINT", "SIGTERM", "SIGHUP"} & set(dir(signal)):
        signal.signal(getattr(signal, name), lambda number, _: notices.put(number))
    try:
        with serve(pipe, finder, host, port) as address:
            print(f"open {address} (Ctrl-C stops it)", flush=True)
            notices.get()
    except OSError as error:
        reason = str(error).partition(". ")[0]
        raise BadInput(f"{reason}; choose another --host or --port") from None


def export(
    out: Annotated[Path, typer.Argument(help="Folder to write; it must not exist.")],
    weights: Weights = None,
    run: Annotated[
        str | None,
        typer.Option(
            help="A trained run of params.yaml, instead of --weights.", autocompletion=run_names
        ),
    ] = None,
    checkpoint: Annotated[
        Literal["ablation", "main"] | None,
        typer.Option(help="Which checkpoint of the run; default: the longest trained."),
    ] = None,
    title: Annotated[str, typer.Option(help="Title of the model card.")] = "X-MDPT",
    license: Annotated[str, typer.Option(help="Licence in the model card.")] = "other",
    space: Annotated[
        bool,
        typer.Option(
            "--space", help="Write a Space: a page that runs on a CPU, with the weights in model/."
        ),
    ] = False,
) -> None:
    """Write a folder that diffusers can load (trust_remote_code) without xmdpt installed.

    Examples:
    xmdpt export out/mine --run base_b
    xmdpt export out/xmdpt --weights converted --license apache-2.0
    xmdpt export --space out/space --title "People in poses"
    """
    from xmdpt.config import load_config
    from xmdpt.data.deepfashion import DataError
    from xmdpt.demo.space import write_space
    from xmdpt.paper.origin import origin_of
    from xmdpt.weights.export import export_pipeline
    from xmdpt.weights.load import load_pipeline
    from xmdpt.weights.runs import load_run

    if run is not None and weights is not None:
        raise BadInput("--run and --weights do not go together")
    check_new(out)
    if space and find_spec("gradio") is None:
        raise BadInput("--space needs Gradio, whose version a Space names: pip install gradio")
    about: dict[str, Any] = {}
    with one_line(DataError, ValueError):
        if run is None:
            pipe = load_pipeline(weights, "cpu")
        else:
            config = load_config(run=run)
            chosen = checkpoint or config.last_checkpoint
            pipe = load_run(config, run, chosen)
            about = {"origin": origin_of(run, chosen), "sample": config.sample}
        write = write_space if space else export_pipeline
        write(pipe, out, title, license=license, **about)
    print(f"wrote {out}")


def convert(
    kind: Annotated[Literal["official"], typer.Argument(help="The authors' format.")],
    checkpoint: Annotated[Path, typer.Argument(help="ema_*.pt; with --to official, a folder.")],
    out: Annotated[Path, typer.Argument(help="Folder or file to write; it must not exist.")],
    vae: Annotated[
        Path | None,
        typer.Option(help="Folder of a VAE; without it, OUT holds only the transformer."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare with golden numbers and with the file.")
    ] = False,
    to: Annotated[
        Literal["diffusers", "official"], typer.Option(help="official: convert back.")
    ] = "diffusers",
) -> None:
    """Convert the authors' published weights to a diffusers folder, or back.

    Examples:
    xmdpt convert official ema_0.9999_300000.pt out --vae vae --verify
    xmdpt convert official out back.pt --to official
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
