"""Beyond the paper: named ways of drawing.

* `exact`: as in the paper, 50 steps of the pipeline's own scheduler.
* `fast`: the same weights by DPM-Solver++ (Lu et al., 2022) at a few timesteps that were learned
  for them (after LD3, Tong et al., ICLR 2025), and which the pipeline keeps:
  `xmdpt distill timesteps`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

Preset = Literal["exact", "fast"]
EXACT_STEPS = 50


class PresetError(ValueError):
    """A preset that does not exist, or that these weights do not have."""


@dataclass(frozen=True)
class Plan:
    """A scheduler, and its number of steps or its timesteps, from high to low."""

    scheduler: Any
    steps: int
    timesteps: tuple[int, ...] | None = None


def make_solver(scheduler: Any) -> DPMSolverMultistepScheduler:
    """Return DPM-Solver++ of second order for a network that predicts noise.

    The schedule of the noise is that of `scheduler`; the last of few steps is of first order.
    """
    solver: DPMSolverMultistepScheduler = DPMSolverMultistepScheduler.from_config(
        scheduler.config, algorithm_type="dpmsolver++", solver_order=2, timestep_spacing="trailing"
    )
    return solver


def plan(preset: Preset, scheduler: Any, steps: int | None, learned: Sequence[int] | None) -> Plan:
    """Return how `preset` draws with a pipeline's own scheduler and learned timesteps.

    `steps` given by the user override a preset's. Raises PresetError for a preset that is unknown,
    or that these weights do not have.
    """
    if preset not in get_args(Preset):
        known = ", ".join(get_args(Preset))
        raise PresetError(f"preset '{preset}' is not one of {known}")
    if preset == "exact":
        return Plan(scheduler, EXACT_STEPS if steps is None else steps)
    if scheduler.config.get("prediction_type") != "epsilon":
        raise PresetError(
            "preset 'fast': needs a network that predicts noise, and this one predicts a velocity; "
            "use preset 'exact', for which num_inference_steps=20 is enough"
        )
    if steps is not None:
        return Plan(make_solver(scheduler), steps)
    if not learned:
        raise PresetError(
            "preset 'fast': these weights have no learned timesteps; `xmdpt distill timesteps` "
            "learns them in minutes; or give num_inference_steps, or use preset 'exact'"
        )
    return Plan(make_solver(scheduler), len(learned), tuple(learned))


def best_preset(scheduler: Any, learned: Sequence[int] | None) -> Preset:
    """Return the fastest preset that draws as well as `exact`, of those that these weights have."""
    return "fast" if learned and scheduler.config.get("prediction_type") == "epsilon" else "exact"
