"""Beyond the paper: named ways of drawing.

* `exact`: as in the paper, 50 steps of the pipeline's own scheduler.
* `fast`: the same weights by DPM-Solver++ (Lu et al., 2022) at a few timesteps that were learned
  for them (after LD3, Tong et al., ICLR 2025), and which the pipeline keeps:
  `xmdpt distill timesteps`.
* `turbo`: a network of its own, which has learned guidance and then to take 4 steps:
  `xmdpt distill guidance`, `xmdpt distill steps`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

from xmdpt.config import Objective
from xmdpt.diffusion import SCHEDULE, make_scheduler
from xmdpt.flow import make_flow_scheduler

Preset = Literal["exact", "fast", "turbo"]
EXACT_STEPS = 50


class PresetError(ValueError):
    """A preset that does not exist, or that these weights do not have."""


@dataclass(frozen=True)
class Learned:
    """What a pipeline has for the presets beyond `exact`.

    fast, turbo: timesteps from high to low. scale: of the guidance that the network for `turbo` has
    learned; None where there is no such network.
    """

    fast: Sequence[int] | None = None
    turbo: Sequence[int] | None = None
    scale: float | None = None


@dataclass(frozen=True)
class Plan:
    """A scheduler, and its number of steps or its timesteps, from high to low.

    guided: whether each step needs two passes; if not, the network for `turbo` draws.
    """

    scheduler: Any
    steps: int
    timesteps: tuple[int, ...] | None = None
    guided: bool = True

    @property
    def forwards(self) -> int:
        """Passes through the network for a picture."""
        return self.steps * (2 if self.guided else 1)


def scheduler_for(objective: Objective) -> Any:
    """Return the sampler of a network that was trained with this objective."""
    return make_flow_scheduler() if objective == "flow" else make_scheduler()


def make_solver(scheduler: Any, order: int = 2) -> DPMSolverMultistepScheduler:
    """Return DPM-Solver++ for a network that predicts noise; of first order it is DDIM.

    The schedule of the noise is that of `scheduler`, of whose other settings none counts. The last
    of few steps is of first order.
    """
    schedule = {name: scheduler.config[name] for name in SCHEDULE if name in scheduler.config}
    solver: DPMSolverMultistepScheduler = DPMSolverMultistepScheduler(
        **schedule,
        algorithm_type="dpmsolver++",
        solver_order=order,
        timestep_spacing="trailing",
    )
    return solver


def plan(
    preset: Preset, scheduler: Any, steps: int | None, learned: Learned, scale: float = 2.0
) -> Plan:
    """Return how `preset` draws with a pipeline's own scheduler and what was learned for it.

    `steps` given by the user override a preset's. Raises PresetError for a preset that is unknown,
    or that these weights do not have, and for a guidance `scale` that `turbo` has not learned.
    """
    if preset not in get_args(Preset):
        known = ", ".join(get_args(Preset))
        raise PresetError(f"preset '{preset}' is not one of {known}")
    if preset == "exact":
        return Plan(scheduler, EXACT_STEPS if steps is None else steps)
    if scheduler.config.get("prediction_type") != "epsilon":
        raise PresetError(
            f"preset '{preset}': needs a network that predicts noise, and this one predicts a "
            "velocity; use preset 'exact', for which num_inference_steps=20 is enough"
        )
    if preset == "fast":
        return _fast(scheduler, steps, learned)
    return _turbo(scheduler, steps, learned, scale)


def _fast(scheduler: Any, steps: int | None, learned: Learned) -> Plan:
    if steps is not None:
        return Plan(make_solver(scheduler), steps)
    if not learned.fast:
        raise PresetError(
            "preset 'fast': these weights have no learned timesteps; `xmdpt distill timesteps` "
            "learns them in minutes; or give num_inference_steps, or use preset 'exact'"
        )
    return Plan(make_solver(scheduler), len(learned.fast), tuple(learned.fast))


def _turbo(scheduler: Any, steps: int | None, learned: Learned, scale: float) -> Plan:
    if learned.scale is None:
        raise PresetError(
            "preset 'turbo': these weights have no network that draws without guidance; `xmdpt "
            "distill guidance` and `xmdpt distill steps` make one; or use another preset"
        )
    if scale != learned.scale:
        raise PresetError(
            f"preset 'turbo': its network has learned a guidance scale of {learned.scale:g}, not "
            f"{scale:g}; give that scale (guidance_scale, --guidance-scale), or use another preset"
        )
    if steps is not None:
        return Plan(make_solver(scheduler), steps, guided=False)
    if not learned.turbo:
        raise PresetError(
            "preset 'turbo': its network takes no few steps yet; `xmdpt distill steps` teaches "
            "them; or give num_inference_steps"
        )
    return Plan(make_solver(scheduler, 1), len(learned.turbo), tuple(learned.turbo), guided=False)


@contextmanager
def planned(pipe: Any, preset: Preset, steps: int | None, scale: float) -> Iterator[Plan]:
    """Let an `XMDPTPipeline` draw by the preset's scheduler and network, one call at a time.

    Raises RuntimeError while another call is at work: it would take that one's scheduler for its
    own, and leave it behind.
    """
    if pipe.busy:
        raise RuntimeError(
            "this pipeline is drawing already, and a second call would change its scheduler; put a "
            "lock around it, or load a pipeline for each thread"
        )
    own = pipe.scheduler
    chosen = plan(preset, own, steps, pipe.learned, scale)
    pipe.busy, pipe.scheduler = True, chosen.scheduler
    if not chosen.guided:
        pipe.denoiser = pipe.turbo  # the condition stays that of `transformer`, as it was learned
    try:
        yield chosen
    finally:
        pipe.scheduler, pipe.denoiser, pipe.busy = own, None, False


def presets_of(scheduler: Any, learned: Learned, scale: float | None = None) -> list[Preset]:
    """Return the presets that these weights have, the slowest first.

    With a guidance `scale`, `turbo` is among them only if it has learned that one.
    """
    found: list[Preset] = ["exact"]
    if scheduler.config.get("prediction_type") != "epsilon":
        return found
    found += ["fast"] if learned.fast else []
    known = learned.scale is not None and scale in (None, learned.scale)
    found += ["turbo"] if learned.turbo and known else []
    return found


def best_preset(scheduler: Any, learned: Learned) -> Preset:
    """Return the fastest preset that draws as well as `exact`, of those that these weights have."""
    return "fast" if "fast" in presets_of(scheduler, learned) else "exact"
