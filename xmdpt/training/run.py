"""One run, from settings and cached features to checkpoints and a history."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from diffusers.utils.constants import SAFETENSORS_WEIGHTS_NAME
from torch.nn.utils import get_total_norm

from xmdpt.config import Checkpoint, Config, ConfigError
from xmdpt.data.annotations import Target
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.pairs import views_of_people
from xmdpt.extensions.context import ContextTransformer2DModel
from xmdpt.features.cache import FeatureCache, PairBatches
from xmdpt.features.encoders import make_encoder
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.support.files import (
    atomic_files,
    atomic_path,
    file_digest,
    fingerprint,
    resumable_dir,
    working_path,
)
from xmdpt.support.notices import Stopped, notices, stop_if
from xmdpt.training.device import any_of
from xmdpt.training.fixed import FixedLoss
from xmdpt.training.invariance import InvarianceProbe
from xmdpt.training.states import STATE, STATES, DamagedState, load_newest
from xmdpt.training.train import StepReport, Trainer

SAME_WEIGHTS = {"gradient_checkpointing", "save_every", "accumulation", "processes"}
"""Settings that do not change the weights, up to rounding."""

History = list[dict[str, float]]
Kept = dict[Checkpoint, int]
"""The steps at which checkpoints were kept."""


def build_model(config: Config, cache: FeatureCache) -> XMDPTTransformer2DModel:
    """Build the model of `config.model` for the shapes of the cached features."""
    settings = config.model.model_dump()
    kind = XMDPTTransformer2DModel
    if settings.pop("source_tokens_in_context"):
        kind = ContextTransformer2DModel
    channels, latent_size, _ = cache.shape("moments")
    pose_tokens, pose_width = cache.shape("pose_tokens")
    source_tokens, source_width = cache.shape("source_tokens")
    model: XMDPTTransformer2DModel = kind(
        sample_size=latent_size,
        in_channels=channels // 2,
        pose_tokens=pose_tokens,
        pose_width=pose_width,
        source_tokens=source_tokens,
        source_width=source_width,
        **settings,
    )
    return model


def warm_start(model: XMDPTTransformer2DModel, folder: str) -> list[str]:
    """Copy the weights of the model in `folder`; only MIPNet may be absent on either side.

    Returns the names of tensors that keep their fresh values. Raises ConfigError, which names the
    first tensor that does not fit.
    """
    if not (Path(folder) / "config.json").is_file():
        raise ConfigError(f"train.init: {folder} holds no model; set null to train from scratch")
    loaded = XMDPTTransformer2DModel.from_pretrained(folder, torch_dtype=torch.float32)
    state = loaded.state_dict()
    own = model.state_dict()
    fresh = [name for name in own if name not in state and name.startswith("mipnet.")]
    used = {name: value for name, value in state.items() if name in own}
    for name, value in own.items():
        if name not in fresh and (name not in used or used[name].shape != value.shape):
            raise ConfigError(
                f"train.init: {folder} does not fit the settings of `model`: {name}; "
                "change them back, or set train.init: null"
            )
    model.load_state_dict(used, strict=False)
    return fresh


def _mean_rows(reports: list[StepReport]) -> dict[str, float]:
    rows = [report.losses | {"grad_norm": report.grad_norm} for report in reports]
    means = pd.DataFrame(rows).mean().to_dict()
    return {"step": reports[-1].step, **{str(name): value for name, value in means.items()}}


def _copy_checkpoints(config: Config, state: Path, kept: Kept, work: Path) -> None:
    """Copy the checkpoints that the run of `state` kept."""
    for name, step in kept.items():
        if config.train.checkpoints.get(name) != step:
            raise ConfigError(
                f"train.checkpoints.{name}: {state} comes from a run that kept it at step {step}; "
                f"set it to {step}"
            )
        if not (state.parent / name).is_dir():
            raise ConfigError(
                f"train.resume: {state.parent / name} is missing; copy a state together with the "
                "checkpoint folders beside it"
            )
        shutil.copytree(state.parent / name, work / name, dirs_exist_ok=True)


def _digests(checkpoint: Path) -> dict[str, str]:
    """The SHA-256 of each file of a checkpoint's folder; empty where there is none."""
    return {path.name: file_digest(path) for path in sorted(checkpoint.glob("[!.]*"))}


def _load(trainer: Trainer, state: Path) -> dict[str, Any]:
    """Load a state; DamagedState where a checkpoint of its run is not what was saved."""
    about = trainer.load(state)
    for name, digests in about.get("digests", {}).items():
        if _digests(state.parent / name) != digests:
            raise DamagedState(f"{state.parent / name}: this checkpoint is missing or damaged")
    return about


def _start(trainer: Trainer, config: Config, work: Path) -> tuple[History, Kept, list[StepReport]]:
    """Resume from a state in `work`, else `train.resume`.

    Returns the history, the checkpoints so far, and the steps since the history's last row. Raises
    ConfigError for a checkpoint whose step has passed without it being kept, and where no state in
    `work` is whole.
    """
    about = load_newest(work, partial(_load, trainer))
    if about is None:
        if config.train.resume is None:
            return [], {}, []
        state = Path(config.train.resume)
        about = trainer.load(state)
        if trainer.accelerator.is_main_process:
            _copy_checkpoints(config, state, about["kept"], work)
    for name, step in config.train.checkpoints.items():
        if step <= trainer.step and name not in about["kept"]:
            raise ConfigError(
                f"train.checkpoints.{name}: train.resume continues from step {trainer.step}, but "
                f"nothing was kept at {step}; set it to a later step"
            )
    window = [StepReport(*row) for row in about.get("window", [])]
    return about["history"], about["kept"], window


def weights_digest(folder: str | None) -> str | None:
    """Return the SHA-256 of the weights in a diffusers model folder; None for no folder."""
    return folder and file_digest(Path(folder) / SAFETENSORS_WEIGHTS_NAME)


def settings_key(config: Config, start: str | None) -> str:
    """Return a key for all settings that the weights depend on.

    `start` is the `weights_digest` of the weights to start from.
    """
    apart = {"seed", "resume", "log_every", *SAME_WEIGHTS}
    resume = config.train.resume
    switched_on = config.model.model_dump(exclude_defaults=True)  # so a new switch changes no key
    return fingerprint(
        switched_on,
        config.train.model_dump(exclude=apart),
        start,
        resume and file_digest(resume),
        config.training_seed,
    )


def run_key(config: Config, cache: FeatureCache, targets: Sequence[Target]) -> str:
    """Return a key for all that a run's weights depend on: settings, start, features and pairs."""
    key = settings_key(config, weights_digest(config.train.init))
    return fingerprint(key, cache.key, targets)


def _keep_checkpoint(trainer: Trainer, folder: Path) -> None:
    with trainer.watch.busy(), atomic_files(folder) as partial_folder:
        trainer.ema.model.save_pretrained(partial_folder)


def _save(
    trainer: Trainer,
    work: Path,
    rows: History,
    kept: Kept,
    window: list[StepReport],
    digests_of: Callable[[str], dict[str, str]],
) -> None:
    """Save the state, with the digests of the checkpoints that belong to it."""
    if trainer.accelerator.is_main_process:
        with trainer.watch.busy():
            digests = {name: digests_of(name) for name in kept}
        steps = [(report.step, report.losses, report.grad_norm) for report in window]
        trainer.save(work / STATE, history=rows, kept=kept, digests=digests, window=steps)


Watch = Callable[[Trainer], dict[str, float]]
"""What is said of a training beside its losses, at each row of the history."""


def _watch(trainer: Trainer, cache: FeatureCache, data: DeepFashion) -> Watch:
    """Watch the weights and the rate, and on test people the averaged weights' loss and cosines.

    None of it draws from the generators that the training draws from, or changes a weight.
    """
    patches, encoder = trainer.model.num_patches, trainer.source_encoder
    probe = InvarianceProbe(cache, views_of_people(data.pictures("test")), encoder)
    fixed = FixedLoss(cache, data.pairs("test"), trainer.config, patches, encoder)

    def watch(trainer: Trainer) -> dict[str, float]:
        weights = [parameter.detach() for parameter in trainer.model.parameters()]
        state = {
            "weight_norm": get_total_norm(weights).item(),
            "learning_rate": float(trainer.optimizer.param_groups[0]["lr"]),
        }
        model = trainer.ema.model
        return state | fixed(model, trainer.precision) | probe(model)

    return watch


def _train(
    trainer: Trainer,
    watch: Watch,
    config: Config,
    work: Path,
    on_log: Callable[[dict[str, float]], None],
    on_found: Callable[[dict[str, float]], None],
) -> History:
    """Train to the end, from the state in `work` if there is one, and return the history.

    Of several processes the first alone watches, writes and reports. Raises Stopped at a
    scheduler's notice, once the step is done and the state saved.
    """
    train = config.train
    rows, kept, window = _start(trainer, config, work)
    digests_of = cache(lambda name: _digests(work / name))  # once: later, damage would be taken in
    first = trainer.accelerator.is_main_process
    for row in rows if first else ():
        on_found(row)
    began = trainer.step
    with notices(stop_if(lambda: trainer.step == began)) as asked:
        for report in trainer.run(train.steps):
            last = report.step == train.steps
            window.append(report)
            if report.step % train.log_every == 0 or last:
                if first:
                    with trainer.watch.busy():
                        rows.append(_mean_rows(window) | watch(trainer))
                    on_log(rows[-1])
                window = []
            for name, step in train.checkpoints.items():
                if step == report.step:
                    kept[name] = step
                    if first:
                        _keep_checkpoint(trainer, work / name)
            stop = any_of(trainer.accelerator, asked())
            if report.step % train.save_every == 0 or last or stop:
                _save(trainer, work, rows, kept, window, digests_of)
            if stop:
                trainer.accelerator.wait_for_everyone()  # the first has saved: now all may end
                raise Stopped(f"saved at step {report.step} of {train.steps}")
    return rows


@contextmanager
def _working_folder(trainer: Trainer, out: Path, key: str, keep: bool) -> Iterator[Path]:
    """The folder of an unfinished run, made and finished by the first of several processes.

    The others begin when it is there, and go on when it is finished.
    """
    wait = trainer.accelerator.wait_for_everyone
    if trainer.accelerator.is_main_process:
        with resumable_dir(out, key, keep=keep, scratch=STATES) as work:
            wait()
            yield work
    else:
        wait()
        yield working_path(out, key)
    wait()


def _check_cached(cache: FeatureCache, targets: Sequence[Target]) -> None:
    """Raise ConfigError where features of training pictures are missing."""
    known, wanted = {*cache.names}, {name for target, own in targets for name in (target, *own)}
    if missing := sorted(wanted - known):
        raise ConfigError(
            f"{cache.folder}: lacks {missing[0]}, {len(missing):,} of {len(wanted):,} training "
            "pictures in all; set features.pictures to all, and carry out the stage features again"
        )


def train_run(
    config: Config,
    features: str | Path,
    out: str | Path,
    on_log: Callable[[dict[str, float]], None] = lambda row: None,
    keep: bool = False,
    on_found: Callable[[dict[str, float]], None] = lambda row: None,
) -> pd.DataFrame:
    """Train `config.model` and keep its EMA weights as `out`/ablation and `out`/main.

    Returns the history: mean losses over each `log_every` steps, and what `_watch` sees then. After
    an interruption the same call goes on from the last saved state, to the same weights; in any
    number of processes (torchrun), up to the order of sums. It gives the rows of the history up to
    there to `on_found`, and those that follow to `on_log`. `keep` is that of `resumable_dir`.
    """
    resume = config.train.resume
    if resume is not None and not Path(resume).is_file():
        raise ConfigError(f"train.resume: {resume}: no such file; set null to start from scratch")
    cache = FeatureCache(features)
    data = DeepFashion(config.data.root, config.data.size)
    targets = data.targets("train")
    _check_cached(cache, targets)
    torch.manual_seed(config.training_seed)
    model = build_model(config, cache)
    if config.train.init is not None:
        warm_start(model, config.train.init)
    batches = PairBatches(cache, targets, config.training_seed)
    on_the_fly = "source_tokens" not in cache.stored
    encoder = make_encoder(**cache.source_encoder) if on_the_fly else None
    trainer = Trainer(model, batches, config.train, encoder)
    watch = _watch(trainer, cache, data)
    key = run_key(config, cache, targets)
    with _working_folder(trainer, Path(out), key, keep) as work:
        history = pd.DataFrame(_train(trainer, watch, config, work, on_log, on_found))
        if trainer.accelerator.is_main_process:
            with atomic_path(work / "history.tsv") as table:
                history.to_csv(table, sep="\t", index=False, float_format="%.6g")
    return history
