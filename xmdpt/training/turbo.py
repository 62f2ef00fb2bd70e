"""Beyond the paper: a network that draws in a few forwards, without guidance, for `turbo`.

It starts as a copy of the pipeline's, and learns from that in two stages:

* `distill_guidance`: to predict the guided noise in one forward (Meng et al., CVPR 2023);
* `distill_steps`: to walk from noise to picture over a few timesteps, by plain steps (DDIM) on its
  own path, each ending where the guided teacher is after many (SFD, Zhou et al., NeurIPS 2024).
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from xmdpt.config import ConfigError
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.diffusion import NUM_TIMESTEPS, add_noise, min_snr_weight
from xmdpt.features.cache import sample_latent
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.support.notices import Stopped, notices, stop_if
from xmdpt.support.pictures import to_signed
from xmdpt.support.precision import autocast, full_float32
from xmdpt.support.random import batch_indices, keyed_generator
from xmdpt.training.device import adamw
from xmdpt.training.errors import TrainingError
from xmdpt.training.states import STATE, DamagedState, load_newest, read_state, save_state
from xmdpt.training.timesteps import (
    BATCH,
    Guided,
    check_noise,
    evenly_in_log_snr,
    integrate,
    levels,
    trajectory,
)

SAVE_EVERY = 50
PATHS = "state-paths.pt"
"""The teacher's paths, among the states in a working folder."""
GAMMA = 5.0
"""Of the Min-SNR weight."""
BETWEEN = 3
"""Steps of the teacher between two of the student's."""
HELD_OUT = 32
"""Pairs, or a quarter of fewer, that are not learned from, to measure how far the student ends
from the teacher."""

Losses = Callable[[int], Iterator[Tensor]]
Progress = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True)
class Recipe:
    """How long and how fast a stage learns; the rate falls to 0 in a straight line."""

    updates: int
    rate: float
    batch: int = 32


GUIDANCE = Recipe(updates=1_000, rate=1e-4)
STEPS = Recipe(updates=400, rate=5e-5)


@dataclass(frozen=True)
class Distilled:
    """A student, and the mean absolute difference of latents from the teacher's, held out.

    before: of the network that it began as. timesteps: of the student's steps, from high to low.
    """

    network: XMDPTTransformer2DModel
    before: float
    after: float
    timesteps: tuple[int, ...]


def latents_of(pipe: XMDPTPipeline, data: DeepFashion, names: list[str], seed: int) -> Tensor:
    """Scaled latents (B, C, H, W) of pictures, sampled as for training."""
    made = []
    for start in range(0, len(names), BATCH):
        some = names[start : start + BATCH]
        pixels = torch.cat([to_signed(data.picture(name)[None]) for name in some])
        with torch.no_grad(), full_float32():
            moments = pipe.vae.encode(pixels.to(pipe.device)).latent_dist.parameters
        shape = moments[0].chunk(2)[0].shape
        noise = [torch.randn(shape, generator=keyed_generator(seed, "latent", n)) for n in some]
        factor = pipe.vae.config["scaling_factor"]
        made.append(sample_latent(moments, torch.stack(noise).to(pipe.device), factor))
    return torch.cat(made)


def _copy(network: XMDPTTransformer2DModel) -> XMDPTTransformer2DModel:
    return copy.deepcopy(network).requires_grad_(True)


def _learn(
    student: XMDPTTransformer2DModel, losses: Losses, recipe: Recipe, work: Path, bar: Progress
) -> None:
    """Train on what `losses(update)` yields; a state in `work` is gone on from.

    At a scheduler's notice the state is saved and Stopped raised. Raises TrainingError before
    anything that is not finite reaches the weights.
    """
    optimizer = adamw(student.parameters(), recipe.rate)

    def load(path: Path) -> int:
        state = read_state(path, {"update", "student", "optimizer"})
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
        return int(state["update"])

    begun = load_newest(work, load) or 0
    done = begun
    with notices(stop_if(lambda: done == begun)) as asked:
        for update in bar(range(begun, recipe.updates)):
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * (1 - update / recipe.updates)
            for loss in losses(update):
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                norm = torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
                if not norm.isfinite():
                    raise TrainingError(
                        f"update {update}: the loss is {loss.item()}, the gradient norm {norm:g}; "
                        "see that the weights draw, and give other pairs or another seed"
                    )
                optimizer.step()
            done, stop = update + 1, asked()
            if done % SAVE_EVERY == 0 or done == recipe.updates or stop:
                state = {"student": student.state_dict(), "optimizer": optimizer.state_dict()}
                save_state(work / STATE, state | {"update": done})
            if stop:
                raise Stopped(f"saved at update {done} of {recipe.updates}")
    student.eval().requires_grad_(False)


def _predict(student: XMDPTTransformer2DModel, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
    with autocast(x.device, "auto"):  # anew each time: it keeps copies of weights, which change
        noise: Tensor = student(x, t.float(), condition).sample.float().chunk(2, dim=1)[0]
    return noise


class _Task:
    """What both stages share: the teacher, the conditions (N, D), and those that are held out."""

    def __init__(
        self, pipe: XMDPTPipeline, condition: Tensor, scale: float, seed: int, batch: int
    ) -> None:
        check_noise(pipe)
        if len(condition) < 4:
            raise ValueError(f"{len(condition)} pairs: at least 4 are needed")
        self.guided = Guided(pipe, scale)
        self.pipe, self.seed, self.batch = pipe, seed, batch
        pipe.transformer.requires_grad_(False)
        known = len(condition) - min(HELD_OUT, len(condition) // 4)
        self.condition, self.others = condition[:known], condition[known:]
        config = pipe.transformer.config
        self.shape = (config.in_channels, config.sample_size, config.sample_size)

    def rows(self, update: int) -> Tensor:
        """The pairs of an update."""
        return batch_indices(self.seed, update, self.batch, len(self.condition))

    def noise(self, update: int, count: int) -> Tensor:
        generator = keyed_generator(self.seed, "turbo", update)
        return torch.randn((count, *self.shape), generator=generator).to(self.pipe.device)

    @torch.no_grad()
    def far(self, network: XMDPTTransformer2DModel, t: Tensor) -> float:
        """How far a network's steps at t (N,) end from the teacher, on what is held out."""
        noise = self.noise(-1, len(self.others))
        with autocast(self.pipe.device, "auto"):
            many = evenly_in_log_snr(self.pipe, 10 * BETWEEN)
            wanted = integrate(self.guided, self.others, noise, many)
            *_, end = walk(network, self.pipe, self.others, noise, t)
        return float((end - wanted).abs().mean())


def walk(
    network: XMDPTTransformer2DModel,
    pipe: XMDPTPipeline,
    condition: Tensor,
    noise: Tensor,
    t: Tensor,
) -> Iterator[Tensor]:
    """Latents after each of a network's steps (DDIM, without guidance) at t (N,), high to low.

    Each step starts from where the one before ended, without a gradient to that.
    """
    _, alphas, sigmas = levels(pipe, t)
    x = noise
    for index, now in enumerate(t):
        eps = _predict(network, x, now, condition)
        x = (x - sigmas[index].float() * eps) / alphas[index].float()
        if index + 1 < len(t):
            x = alphas[index + 1].float() * x + sigmas[index + 1].float() * eps
        yield x
        x = x.detach()


def distill_guidance(
    pipe: XMDPTPipeline,
    condition: Tensor,
    latents: Tensor,
    work: Path,
    scale: float = 2.0,
    recipe: Recipe = GUIDANCE,
    seed: int = 0,
    progress: Progress = iter,
) -> Distilled:
    """Teach a copy of the network to predict the guided noise in one forward.

    condition (N, D) and the latents (N, C, H, W) of the pictures that it leads to; some of the last
    are held out. An interrupted call leaves a state in the folder `work`, which the next goes on
    from. Raises ConfigError for a network that predicts no noise, ValueError for too few pairs.
    """
    task = _Task(pipe, condition, scale, seed, recipe.batch)
    student = _copy(pipe.transformer)
    t = evenly_in_log_snr(pipe, 10).round()
    before = task.far(student, t)

    def losses(update: int) -> Iterator[Tensor]:
        rows, noise = task.rows(update), task.noise(update, recipe.batch)
        generator = keyed_generator(seed, "turbo timesteps", update)
        times = torch.randint(NUM_TIMESTEPS, (recipe.batch,), generator=generator).to(pipe.device)
        given, x = task.condition[rows], add_noise(latents[rows], noise, times)
        with autocast(pipe.device, "auto"), torch.no_grad():
            wanted = task.guided.noise(x, times, given)
        wrong = (_predict(student, x, times, given) - wanted).square().flatten(1).mean(1)
        yield (min_snr_weight(times, GAMMA) * wrong).mean()

    _learn(student, losses, recipe, work, progress)
    return Distilled(student, before, task.far(student, t), ())


def with_between(pipe: XMDPTPipeline, t: Tensor) -> Tensor:
    """Timesteps (4 N,) of the teacher: each of t (N,), and three between it and the next.

    Behind the last one comes 1 or, if that is the last one itself, 0.
    """
    ends = [*t.tolist(), 1.0 if t[-1] > 1 else 0.0]
    parts = [
        evenly_in_log_snr(pipe, BETWEEN + 2, first, last)[:-1] for first, last in pairwise(ends)
    ]
    return torch.cat(parts)


def _taught(task: _Task, noise: Tensor, t: Tensor, path: Path, progress: Progress) -> Tensor:
    """Where the teacher is after each of the student's steps (K, N, C, H, W), from each noise.

    It is kept at `path`, since it takes minutes, and made anew for other timesteps.
    """
    with suppress(DamagedState, FileNotFoundError):
        state = read_state(path, {"timesteps", "paths"})
        if torch.equal(state["timesteps"], t.cpu()):
            kept: Tensor = state["paths"].to(noise.device)
            return kept
    many, made = with_between(task.pipe, t), []
    for start in progress(range(0, len(noise), task.batch)):
        some = slice(start, start + task.batch)
        with autocast(task.pipe.device, "auto"), torch.no_grad():
            steps = [*trajectory(task.guided, task.condition[some], noise[some], many)]
        made.append(torch.stack(steps[BETWEEN :: BETWEEN + 1]))
    paths = torch.cat(made, dim=1)
    save_state(path, {"timesteps": t.cpu(), "paths": paths})
    return paths


def check_turbo(pipe: XMDPTPipeline) -> tuple[XMDPTTransformer2DModel, float]:
    """The network that `distill_guidance` made, and its scale; ConfigError where there is none."""
    scale = pipe.learned.scale
    if pipe.turbo is None or scale is None:
        raise ConfigError("turbo: no network without guidance; `xmdpt distill guidance` makes one")
    return pipe.turbo, scale


def distill_steps(
    pipe: XMDPTPipeline,
    condition: Tensor,
    timesteps: tuple[int, ...],
    work: Path,
    recipe: Recipe = STEPS,
    seed: int = 0,
    progress: Progress = iter,
) -> Distilled:
    """Teach a copy of `pipe.turbo` to draw by one step at each of `timesteps`, from high to low.

    condition (N, D), of which some of the last are held out. An interrupted call leaves a state in
    the folder `work`, which the next goes on from. Raises ConfigError without a network that
    `distill_guidance` made, ValueError for too few pairs.
    """
    network, scale = check_turbo(pipe)
    task = _Task(pipe, condition, scale, seed, recipe.batch)
    student, t = _copy(network), torch.tensor(timesteps, dtype=torch.float64)
    before = task.far(student, t)
    noise = task.noise(-2, len(task.condition))
    paths = _taught(task, noise, t, work / PATHS, progress)

    def losses(update: int) -> Iterator[Tensor]:
        rows = task.rows(update)
        steps = walk(student, pipe, task.condition[rows], noise[rows], t)
        for wanted, reached in zip(paths, steps, strict=True):
            yield (reached - wanted[rows]).abs().mean()

    _learn(student, losses, recipe, work, progress)
    return Distilled(student, before, task.far(student, t), timesteps)
