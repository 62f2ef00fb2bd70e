"""Commands that make weights fast."""

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xmdpt.commands.answers import AsJson, answers
from xmdpt.commands.options import Device, Weights
from xmdpt.support.arguments import check_new, one_line, pick_device

if TYPE_CHECKING:
    from xmdpt.data.deepfashion import DeepFashion
    from xmdpt.pipeline import XMDPTPipeline
    from xmdpt.training.turbo import Distilled

app = typer.Typer(help="Make weights fast: the same pictures in fewer steps.", no_args_is_help=True)


Out = Annotated[Path, typer.Argument(help="Folder to write the pipeline to; it must not exist.")]
Data = Annotated[Path, typer.Option(help="A prepared data set; its training pairs are drawn.")]
SYNTHETIC = Path("data/synthetic")
Scale = Annotated[float, typer.Option(min=0, max=100, help="Guidance scale to learn for.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the noise.")]
Pairs = Annotated[int, typer.Option(min=4, help="Pairs to learn from.")]


@app.command()
def timesteps(
    out: Out,
    weights: Weights = None,
    data: Data = SYNTHETIC,
    steps: Annotated[int, typer.Option(min=3, max=50, help="How many timesteps to learn.")] = 8,
    pairs: Annotated[
        int, typer.Option(min=4, help="Pairs to draw: half to learn from, half to choose by.")
    ] = 100,
    guidance_scale: Scale = 2.0,
    seed: Seed = 0,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Learn a few timesteps that draw as well as many, for the preset `fast`.

    No weight changes; the new folder holds the same pipeline with these
    timesteps.

    Example:
    xmdpt distill timesteps out/fast --weights out/b --data data/index/deepfashion
    """
    from tqdm import tqdm

    from xmdpt.data.deepfashion import DataError
    from xmdpt.training.timesteps import conditions_of, learn_timesteps
    from xmdpt.weights.export import new_folder

    check_new(out)
    with answers(as_json) as answer, one_line(DataError, ValueError):
        pipe, people, chosen = _opened(weights, device, data, pairs)
        drawn = conditions_of(pipe, people, chosen, seed)
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


@app.command()
def guidance(
    out: Out,
    weights: Weights = None,
    data: Data = SYNTHETIC,
    pairs: Pairs = 4000,
    updates: Annotated[int, typer.Option(min=1, help="Training steps, each of 32 pairs.")] = 1000,
    guidance_scale: Scale = 2.0,
    seed: Seed = 0,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Train a network that needs no guidance, half the work a step, as a first step to `turbo`.

    The new folder holds the same pipeline, and that network beside its own. Run
    the same command again to continue where it stopped.

    Example:
    xmdpt distill guidance out/half --weights out/b --data data/index/deepfashion
    """
    from dataclasses import replace

    from tqdm import tqdm

    from xmdpt.data.deepfashion import DataError
    from xmdpt.support.files import resumable_dir
    from xmdpt.training.errors import TrainingError
    from xmdpt.training.states import STATES
    from xmdpt.training.timesteps import conditions_of
    from xmdpt.training.turbo import GUIDANCE, distill_guidance, latents_of

    check_new(out)
    with answers(as_json) as answer, one_line(DataError, ValueError, TrainingError):
        pipe, people, drawn = _opened(weights, device, data, pairs)
        given, _ = conditions_of(pipe, people, drawn, seed)
        latents = latents_of(pipe, people, [target for _, target in drawn], seed)
        recipe = replace(GUIDANCE, updates=updates)
        key = _key(pipe, people, drawn, str(recipe), guidance_scale, seed)
        with resumable_dir(out, key, scratch=STATES) as work:
            learned = distill_guidance(
                pipe, given, latents, work, guidance_scale, recipe, seed, tqdm
            )
            pipe.register_modules(turbo=learned.network)  # type: ignore[no-untyped-call]
            pipe.register_to_config(  # type: ignore[no-untyped-call]
                turbo_scale=guidance_scale, turbo_timesteps=None
            )
            _save(pipe, work)
        answer(_said(learned, out), _found(learned, out))


@app.command()
def steps(
    out: Out,
    weights: Weights = None,
    data: Data = SYNTHETIC,
    steps: Annotated[int, typer.Option(min=3, max=10, help="How many steps to learn.")] = 4,
    pairs: Pairs = 2000,
    updates: Annotated[int, typer.Option(min=1, help="Training steps, each of 32 pairs.")] = 400,
    seed: Seed = 0,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Teach the network of `distill guidance` to draw in a few steps, for the preset `turbo`.

    Run the same command again to continue where it stopped.

    Example:
    xmdpt distill steps out/turbo --weights out/half --data data/index/deepfashion
    """
    from dataclasses import replace

    from tqdm import tqdm

    from xmdpt.data.deepfashion import DataError
    from xmdpt.support.files import resumable_dir
    from xmdpt.training.errors import TrainingError
    from xmdpt.training.states import STATES
    from xmdpt.training.timesteps import conditions_of, learn_timesteps
    from xmdpt.training.turbo import STEPS, check_turbo, distill_steps

    check_new(out)
    with answers(as_json) as answer, one_line(DataError, ValueError, TrainingError):
        pipe, people, drawn = _opened(weights, device, data, pairs)
        _, scale = check_turbo(pipe)
        given, noise = conditions_of(pipe, people, drawn, seed)
        recipe = replace(STEPS, updates=updates)
        key = _key(pipe, people, drawn, str(recipe), steps, scale, seed)
        with resumable_dir(out, key, scratch=STATES) as work:
            t = learn_timesteps(pipe, given[:100], noise[:100], steps, scale, progress=tqdm)
            learned = distill_steps(pipe, given, t.timesteps, work, recipe, seed, tqdm)
            pipe.register_modules(turbo=learned.network)  # type: ignore[no-untyped-call]
            found = [*learned.timesteps]
            pipe.register_to_config(turbo_timesteps=found)  # type: ignore[no-untyped-call]
            _save(pipe, work)
        answer(
            f"timesteps: {', '.join(map(str, found))}\n{_said(learned, out)}",
            _found(learned, out) | {"timesteps": found},
        )


def _opened(
    weights: Path | None, device: str | None, data: Path, count: int
) -> "tuple[XMDPTPipeline, DeepFashion, list[tuple[str, str]]]":
    """The pipeline, the data set, and pairs of its training pictures."""
    from xmdpt.data.deepfashion import DeepFashion
    from xmdpt.data.pairs import spread
    from xmdpt.weights.load import load_pipeline

    pipe = load_pipeline(weights, pick_device(device))
    people = DeepFashion(data, pipe.size)
    return pipe, people, spread(people.pairs("train"), count)


def _key(
    pipe: "XMDPTPipeline", people: "DeepFashion", pairs: list[tuple[str, str]], *settings: object
) -> str:
    """A key for all that a network that is learned from the pipeline's depends on."""
    from xmdpt.pipeline import ENCODING
    from xmdpt.support.files import fingerprint
    from xmdpt.support.hub import weights_key

    weights = weights_key(filter(None, (pipe.vae, pipe.transformer, pipe.turbo)))
    pictures = {name: people.digest(name) for name in sorted({*chain.from_iterable(pairs)})}
    encoded = ([pipe.config[name] for name in ENCODING], pipe.vae.config["scaling_factor"])
    return fingerprint(weights, encoded, pairs, pictures, *settings)


def _save(pipe: "XMDPTPipeline", work: Path) -> None:
    from xmdpt.support.files import atomic_files

    with atomic_files(work) as folder:
        pipe.save_pretrained(folder)


def _said(learned: "Distilled", out: Path) -> str:
    return (
        f"difference from the latents of many guided steps: {learned.after:.4f}; before: "
        f"{learned.before:.4f}\nwrote {out}"
    )


def _found(learned: "Distilled", out: Path) -> dict[str, object]:
    return {"out": str(out), "distance": learned.after, "before": learned.before}
