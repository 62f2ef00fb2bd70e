"""Beyond the paper: learn at which timesteps few steps come nearest to many.

After LD3 (Tong et al., ICLR 2025): a teacher draws in 40 steps from fixed noise; the student, the
same network by DPM-Solver++ in a few steps, has its timesteps moved until it ends where the
teacher does. No weight changes. The result is a list for a pipeline's `fast_timesteps`.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xmdpt.config import ConfigError
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.diffusion import guidance_weight, guide
from xmdpt.photos.poses import Picture, Pose
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.support.precision import autocast
from xmdpt.support.random import keyed_generator

TEACHER_STEPS = 40
UPDATES = 150
BATCH = 8
RATE = 0.03
"""Of Adam, on the logits of the gaps between timesteps."""
LOOK_EVERY = 10
"""Updates between two looks at the pairs that are not learned from."""


@dataclass(frozen=True)
class Learned:
    """Timesteps from high to low, and how far the student ends from the teacher.

    `before` (evenly spaced timesteps) and `after` are mean absolute differences of latents, on the
    half of the pairs that is not learned from.
    """

    timesteps: tuple[int, ...]
    before: float
    after: float


def check_noise(pipe: XMDPTPipeline) -> None:
    """Raise ConfigError for a network that does not predict noise."""
    if pipe.scheduler.config.get("prediction_type") != "epsilon":
        raise ConfigError("only networks that predict noise can be distilled, not a velocity")


def conditions_of(
    pipe: XMDPTPipeline, data: DeepFashion, pairs: Sequence[tuple[str, str]], seed: int
) -> tuple[Tensor, Tensor]:
    """Condition vectors (B, D) of pairs of pictures, and noise (B, C, H, W) for each."""
    conditions, noise, config = [], [], pipe.transformer.config
    shape = (config.in_channels, config.sample_size, config.sample_size)
    for start in range(0, len(pairs), BATCH):
        batch = pairs[start : start + BATCH]
        generators = [keyed_generator(seed, "timesteps", *pair) for pair in batch]
        sources: list[Picture] = [data.picture(source) for source, _ in batch]
        poses: list[Pose] = [data.skeleton(target) for _, target in batch]
        conditions.append(pipe.encode_condition(sources, poses, generators))
        noise += [torch.randn(shape, generator=generator) for generator in generators]
    return torch.cat(conditions).float(), torch.stack(noise).to(pipe.device)


def half_log_snr(t: Tensor, alpha_bars: Tensor) -> Tensor:
    """log(alpha / sigma) at timesteps t (N,) that need not be whole, by linear interpolation."""
    table = 0.5 * (alpha_bars / (1 - alpha_bars)).log()
    below = t.detach().floor().long().clamp(0, len(table) - 2)
    share = t - below
    return table[below] * (1 - share) + table[below + 1] * share


@dataclass(frozen=True)
class Guided:
    """The guided noise that a pipeline's network predicts: what a student learns from."""

    pipe: XMDPTPipeline
    scale: float = 2.0
    power: float = 0.01

    def noise(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """Noise (B, C, H, W) in x at timesteps t, one for all or (B,), from both passes at once."""
        both = torch.cat([condition, torch.zeros_like(condition)])
        times = torch.cat([t, t]) if t.ndim else t
        output = self.pipe.transformer(torch.cat([x, x]), times.float(), both).sample.float()
        given, free = output.chunk(2, dim=1)[0].chunk(2)
        weight = guidance_weight(t.detach(), self.scale, self.power).to(x)  # t may be on the CPU
        return guide(given, free, weight.view(-1, 1, 1, 1))


def levels(pipe: XMDPTPipeline, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log(alpha / sigma), alpha and sigma at timesteps t (N,) that need not be whole."""
    logs = half_log_snr(t, pipe.scheduler.alphas_cumprod.double().to(t.device))
    return logs, (2 * logs).sigmoid().sqrt(), (-2 * logs).sigmoid().sqrt()


def trajectory(teacher: Guided, condition: Tensor, noise: Tensor, t: Tensor) -> Iterator[Tensor]:
    """Latents (B, C, H, W) by DPM-Solver++ (2M) at timesteps t (N,), from high to low.

    Yields those after each step, N in all, the last without noise. What `presets.make_solver`
    computes, but t may carry a gradient and need not be whole. The last step is of first order.
    """
    logs, alphas, sigmas = levels(teacher.pipe, t)
    x, before = noise, None
    for index, now in enumerate(t):
        guided = teacher.noise(x, now, condition)
        start = (x - sigmas[index].float() * guided) / alphas[index].float()
        if index + 1 == len(t):
            yield start
            return
        step = logs[index + 1] - logs[index]
        ahead = start
        if before is not None:
            ratio = (logs[index] - logs[index - 1]) / step
            ahead = start + (start - before) / (2 * ratio).float()
        x = (sigmas[index + 1] / sigmas[index]).float() * x
        x = x - (alphas[index + 1] * torch.expm1(-step)).float() * ahead
        before = start
        yield x


def integrate(teacher: Guided, condition: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """The end of `trajectory`."""
    *_, end = trajectory(teacher, condition, noise, t)
    return end


def evenly_in_log_snr(
    pipe: XMDPTPipeline, steps: int, first: float | None = None, last: float = 1.0
) -> Tensor:
    """Timesteps (steps,) from `first` to `last`, whose logarithms of the SNR are evenly spaced.

    By default from the highest to 1.
    """
    alpha_bars = pipe.scheduler.alphas_cumprod.double()
    whole = torch.arange(len(alpha_bars), dtype=torch.float64)
    table = half_log_snr(whole, alpha_bars)
    ends = torch.tensor([whole[-1] if first is None else first, last], dtype=torch.float64)
    high, low = half_log_snr(ends, alpha_bars)
    wanted = torch.linspace(float(high), float(low), steps, dtype=torch.float64)
    above: Tensor = torch.searchsorted(-table, -wanted).clamp(1, len(table) - 1)
    share = (table[above - 1] - wanted) / (table[above - 1] - table[above])
    return above - 1 + share


def _timesteps(logits: Tensor, highest: int) -> Tensor:
    """Timesteps (N,), float64: the highest, and the others below it by shares of its height."""
    gone = torch.cat([logits.new_zeros(1), logits.softmax(0).cumsum(0)[:-1]])
    return highest * (1 - gone)


def _whole(t: Tensor) -> tuple[int, ...]:
    """The nearest whole timesteps, each below the one before, none below 1."""
    found: list[int] = []
    for place, value in enumerate(t.tolist()):
        most = found[-1] - 1 if found else math.inf
        found.append(int(max(min(round(value), most), len(t) - place)))
    return tuple(found)


@dataclass(frozen=True)
class _Student:
    """Draws from fixed noise, and is measured by where the teacher ends."""

    guided: Guided
    condition: Tensor
    noise: Tensor

    def ends(self, t: Tensor, rows: Tensor) -> Tensor:
        with autocast(self.guided.pipe.device, "auto"):
            return integrate(self.guided, self.condition[rows], self.noise[rows], t)

    @torch.no_grad()
    def teach(self, rows: Tensor) -> Tensor:
        """Where the teacher ends from the noise of `rows`."""
        t = evenly_in_log_snr(self.guided.pipe, TEACHER_STEPS)
        return torch.cat([self.ends(t, some) for some in rows.split(BATCH)])

    @torch.no_grad()
    def error(self, t: tuple[int, ...], rows: Tensor, wanted: Tensor) -> float:
        """Mean absolute difference to `wanted`, where the teacher ends from the noise of `rows`."""
        at = torch.tensor(t, dtype=torch.float64)
        made = torch.cat([self.ends(at, some) for some in rows.split(BATCH)])
        return float((made - wanted).abs().mean())


def learn_timesteps(
    pipe: XMDPTPipeline,
    condition: Tensor,
    noise: Tensor,
    steps: int,
    scale: float = 2.0,
    power: float = 0.01,
    updates: int = UPDATES,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Learned:
    """Learn `steps` timesteps from the first half of conditions (B, D) and noise (B, C, H, W).

    Those that end nearest to the teacher on the second half are kept. Raises ConfigError for a
    network that does not predict noise, and ValueError for fewer than 3 steps or 4 pairs.
    """
    check_noise(pipe)
    if steps < 3 or len(condition) < 4:
        raise ValueError(f"{steps} steps, {len(condition)} pairs: at least 3 and 4 are needed")
    pipe.transformer.requires_grad_(False)
    student = _Student(Guided(pipe, scale, power), condition, noise)
    ours, theirs = torch.arange(len(condition)).tensor_split(2)
    wanted, kept = student.teach(ours), student.teach(theirs)
    highest = len(pipe.scheduler.alphas_cumprod) - 1
    logits = torch.zeros(steps, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([logits], RATE)
    best = _whole(_timesteps(logits, highest))
    before = after = student.error(best, theirs, kept)
    for update in progress(range(updates)):
        generator = keyed_generator(0, "timesteps", update)
        rows = torch.randperm(len(ours), generator=generator)[:BATCH]
        loss = (student.ends(_timesteps(logits, highest), ours[rows]) - wanted[rows]).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (update + 1) % LOOK_EVERY == 0:
            found = _whole(_timesteps(logits, highest))
            if (gap := student.error(found, theirs, kept)) < after:
                best, after = found, gap
    return Learned(best, before, after)
