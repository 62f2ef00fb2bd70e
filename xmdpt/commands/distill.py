"""Commands that make weights fast."""

from pathlib import Path
from typing import Annotated

import typer

from xmdpt.commands.answers import AsJson, answers
from xmdpt.commands.options import Device, Weights
from xmdpt.support.arguments import check_new, one_line, pick_device

app = typer.Typer(help="Make weights fast: the same pictures in fewer steps.")


@app.callback()
def _commands() -> None:
    """Keep `timesteps` a command of its own."""


@app.command()
def timesteps(
    out: Annotated[
        Path, typer.Argument(help="Folder to write the pipeline to; it must not exist.")
    ],
    weights: Weights = None,
    data: Annotated[
        Path, typer.Option(help="A prepared data set; its training pairs are drawn.")
    ] = Path("data/synthetic"),
    steps: Annotated[int, typer.Option(min=3, max=50, help="How many timesteps to learn.")] = 8,
    pairs: Annotated[
        int, typer.Option(min=4, help="Pairs to draw: half to learn from, half to choose by.")
    ] = 100,
    guidance_scale: Annotated[
        float, typer.Option(min=0, max=100, help="Guidance scale to learn them for.")
    ] = 2.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Learn a few timesteps that draw as well as many, for the preset `fast`.

    No weight changes; the new folder holds the same pipeline with these timesteps.

    Example: xmdpt distill timesteps out/fast --weights out/mine --data data/deepfashion.
    """
    from tqdm import tqdm

    from xmdpt.data.deepfashion import DataError, DeepFashion
    from xmdpt.data.pairs import spread
    from xmdpt.training.timesteps import conditions_of, learn_timesteps
    from xmdpt.weights.export import new_folder
    from xmdpt.weights.load import load_pipeline

    check_new(out)
    with answers(as_json) as answer, one_line(DataError, ValueError):
        pipe = load_pipeline(weights, pick_device(device))
        people = DeepFashion(data, pipe.size)
        drawn = conditions_of(pipe, people, spread(people.pairs("train"), pairs), seed)
        learned = learn_timesteps(pipe, *drawn, steps, guidance_scale, progress=tqdm)
        found = [*learned.timesteps]
        pipe.register_to_config(fast_timesteps=found)  # type: ignore[no-untyped-call]
        with new_folder(out) as partial:
            pipe.save_pretrained(partial)
        after, before = float(learned.after), float(learned.before)
        answer(
            f"timesteps: {', '.join(map(str, found))}\n"
            f"difference from the latents of many steps: {after:.4f}; evenly spaced: {before:.4f}\n"
            f"wrote {out}",
            {"out": str(out), "timesteps": found, "distance": after, "evenly_spaced": before},
        )
