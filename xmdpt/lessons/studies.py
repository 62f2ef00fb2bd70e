"""Models that differ in one setting: finished runs, or trained for a few steps in the notebook."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from xmdpt.config import Checkpoint, TrainConfig, load_config
from xmdpt.data.annotations import Pair
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import spread
from xmdpt.diffusion import training_losses
from xmdpt.features.cache import PairBatches
from xmdpt.flow import flow_losses
from xmdpt.lessons.people import REPOSITORY, condition_of, lesson_people, training_features
from xmdpt.lessons.sampling import draw_latents, show
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.pipeline import ENCODING, XMDPTPipeline
from xmdpt.support.random import keyed_generator
from xmdpt.training.train import Trainer
from xmdpt.weights.runs import load_run


@dataclass(frozen=True)
class Study:
    """Pipelines by label, and (source, target) pairs of people that none of them has seen."""

    pipelines: dict[str, XMDPTPipeline]
    data: DeepFashion
    pairs: list[Pair]
    origin: str
    """How the models were made, for titles."""
    histories: dict[str, pd.DataFrame] = field(default_factory=dict)
    """Mean losses of each model over its training, with a column `step`."""


def variant(model: XMDPTTransformer2DModel, **changes: Any) -> XMDPTTransformer2DModel:
    """A model with changed settings, which takes over every weight that it has a place for.

    Parts that `model` lacks start untrained, from seed 0.
    """
    torch.manual_seed(0)
    other = XMDPTTransformer2DModel.from_config(dict(model.config), **changes)
    own = other.state_dict()
    kept = {name: value for name, value in model.state_dict().items() if name in own}
    other.load_state_dict(kept, strict=False)
    made: XMDPTTransformer2DModel = other.eval().to(model.device)
    return made


def with_transformer(pipe: XMDPTPipeline, model: XMDPTTransformer2DModel) -> XMDPTPipeline:
    """The pipeline with another model and the same autoencoder, without its learned timesteps."""
    settings = {name: pipe.config[name] for name in ENCODING}
    other = XMDPTPipeline(pipe.vae, model, pipe.scheduler, **settings)
    other.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]  # diffusers'
    return other


def finished_study(
    runs: Mapping[str, str], count: int, root: str | Path | None = None
) -> Study | None:
    """A study of finished runs (label -> run) of the repository; None if one is missing.

    A run counts as missing if it was trained with another profile than `root`/params.yaml. The
    checkpoints `ablation`, or else `main`, are compared, on `count` test pairs; the histories end
    there too.
    """
    root = Path(root or REPOSITORY)
    models, params = root / "models", root / "params.yaml"
    if not set(runs.values()) <= set(load_config(params).runs):
        return None
    configs = {label: load_config(params, run) for label, run in runs.items()}
    shared = set.intersection(*({*config.train.checkpoints} for config in configs.values()))
    checkpoint: Checkpoint = "ablation" if "ablation" in shared else "main"
    folders = {label: models / run for label, run in runs.items()}
    made = [models / "vae", *(folder / checkpoint for folder in folders.values())]
    if not all((folder / "config.json").is_file() for folder in made):
        return None
    whole = {label: pd.read_csv(folders[label] / "history.tsv", sep="\t") for label in runs}
    if any(whole[label]["step"].max() != configs[label].train.steps for label in runs):
        return None
    config = next(iter(configs.values()))
    data = DeepFashion(root / config.data.root, config.data.size)
    histories = {
        label: history[history["step"] <= configs[label].train.checkpoints[checkpoint]]
        for label, history in whole.items()
    }
    return Study(
        {label: load_run(configs[label], runs[label], checkpoint, models) for label in runs},
        data,
        spread(data.pairs("test"), count),
        f"finished runs of the profile {config.profile}, "
        f"{config.train.checkpoints[checkpoint]} steps",
        histories,
    )


def _settings(steps: int, batch_size: int) -> TrainConfig:
    return TrainConfig(
        seed=None,
        init="the pipeline's own weights",
        resume=None,
        checkpoints={"main": steps},
        batch_size=batch_size,
        learning_rate=2e-4,
        warmup_steps=0,
        decay_steps=steps // 2,
        optimizer="adamw",
        adam_beta2=0.999,
        weight_decay=0.0,
        grad_clip=1.0,
        snr_gamma=None,
        ema_decay=0.9,
        condition_dropout=0.1,
        objective="epsilon",
        alignment=0.0,
        precision="auto",
        gradient_checkpointing=False,
        compile=False,
        save_every=steps,
        log_every=steps,
    )


def brief_study(
    pipe: XMDPTPipeline,
    changes: Mapping[str, Mapping[str, Any]],
    *,
    steps: int,
    people: int,
    count: int,
    batch_size: int = 8,
    folder: str | Path | None = None,
) -> Study:
    """Train a `variant` of the pipeline's model for each label, all on the same batches.

    It renders `people` to train on, in four views each, and six more for `count` test pairs, and
    keeps them in `folder` (see `lesson_people`).
    """
    data = lesson_people(6, people, 4, pipe.size, folder)
    batches = PairBatches(training_features(pipe, data, folder), data.targets("train"), seed=0)
    pipelines, histories = {}, {}
    for label, change in changes.items():
        model = variant(pipe.transformer, **change)
        trainer = Trainer(model, batches, _settings(steps, batch_size))
        rows = [{"step": report.step} | report.losses for report in trainer.run(steps)]
        histories[label] = pd.DataFrame(rows)
        pipelines[label] = with_transformer(pipe, trainer.ema.model.eval().to(pipe.device))
    pairs = spread(data.pairs("test"), count)
    origin = f"from the pipeline's weights, {steps} steps of {batch_size} on {people} people"
    return Study(pipelines, data, pairs, origin, histories)


def predicts(pipe: XMDPTPipeline) -> str:
    """What the pipeline's model predicts: noise, or the velocity of `xmdpt.flow`."""
    flow = pipe.scheduler.config.prediction_type == "flow_prediction"
    return "velocity" if flow else "noise"


@torch.no_grad()
def prediction_errors(
    pipe: XMDPTPipeline,
    pairs: Mapping[str, Tensor],
    timesteps: Sequence[int],
    conditional: bool = True,
) -> np.ndarray:
    """Mean squared error of what the model predicts (Eq. 1; see `predicts`) at each timestep, (T,).

    `pairs` come from `encode_pairs`. At a timestep every model sees the same noise. Without
    `conditional` the condition is a zero vector. Predicting zero noise has an error of 1.
    """
    model = pipe.transformer
    losses_of = flow_losses if predicts(pipe) == "velocity" else training_losses
    condition = condition_of(model, pairs) * float(conditional)
    target, errors = pairs["target_latent"], []
    for t in timesteps:
        noise = torch.randn(target.shape, generator=keyed_generator(0, "noise", int(t)))
        at = torch.full((len(target),), int(t), device=target.device)
        losses = losses_of(
            lambda x, t: model(x, t, condition).sample, target, at, noise.to(target.device)
        )
        errors.append(losses["mse"].mean().item())
    return np.array(errors)


def draw_study(study: Study, inputs: Mapping[str, Tensor], steps: int) -> dict[str, np.ndarray]:
    """Label -> pictures of the pairs, uint8 (N, S, S, 3), all from the same noise."""
    drawn = {}
    for label, pipe in study.pipelines.items():
        latents = draw_latents(pipe, condition_of(pipe.transformer, inputs), steps)
        drawn[label] = show(pipe, latents)
    return drawn


def comparison(
    data: DeepFashion, pairs: Sequence[Pair], drawn: Mapping[str, Sequence[np.ndarray]], count: int
) -> dict[str, list[np.ndarray]]:
    """Rows of a grid for `count` of the pairs: source, pose, drawn pictures by label, truth."""
    chosen = spread(range(len(pairs)), count)
    return {
        "source": [data.picture(pairs[n][0]) for n in chosen],
        "pose": [data.skeleton(pairs[n][1]) for n in chosen],
        **{label: [pictures[n] for n in chosen] for label, pictures in drawn.items()},
        "truth": [data.picture(pairs[n][1]) for n in chosen],
    }


def smoothed(history: pd.DataFrame, column: str, window: int) -> pd.Series:
    """A loss by training step, as the running mean over up to `window` steps."""
    return history.set_index("step")[column].rolling(window, min_periods=1).mean()
