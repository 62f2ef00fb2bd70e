"""Count and time what networks cost: parameters, operations, memory, seconds (Tables 2f, 3, 5)."""

import gc
import platform
import time
import weakref
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, TypeVar

import torch
from accelerate import init_empty_weights
from accelerate.utils import set_module_tensor_to_device
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from xmdpt.config import CostModel
from xmdpt.costs.full_size import NETWORKS, PICTURES, STEPS, build_x_mdpt
from xmdpt.diffusion import NUM_TIMESTEPS
from xmdpt.model import XMDPTTransformer2DModel
from xmdpt.support.precision import autocast, multiplies_bf16

MIB = 2**20
LEAST_SECONDS = 1.0
"""A quick call is repeated for this long, and the median is taken."""

Module = TypeVar("Module", bound=nn.Module)
TrainingStep = Callable[[XMDPTTransformer2DModel], nn.Module]
"""Wraps the model in a module whose forward pass takes a batch and returns losses."""


# Counted: without data or weights, so the same on every machine


class TensorsAlive(TorchDispatchMode):
    """Counts the bytes of tensors made inside it; `peak` is the most that were alive at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # in torch
        self.peak = self.now = 0
        self._bytes: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        self._watch((args, kwargs), counted=False)  # before a view of them looks like a new one
        made = func(*args, **(kwargs or {}))
        self._watch(made, counted=True)
        return made

    def _watch(self, tensors: Any, counted: bool) -> None:
        for tensor in tree_leaves(tensors):
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self._bytes:
                self._bytes[key] = storage.nbytes() if counted else 0
                self.now += self._bytes[key]
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self._bytes.pop(key, 0)


def count_parameters(module: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_inference(name: CostModel, pictures: int = PICTURES) -> dict[str, Any]:
    """Parameters, operations and memory of a network in one guided step (or its only call).

    `flops`: floating-point operations per row, that is, per forward pass of one picture; a
    multiplication and its addition count as two. `memory_mb`: MiB of float32 weights and of the
    tensors alive at once, with `pictures` pictures and all passes of the guidance in one batch.
    Nothing is computed.
    """
    network = NETWORKS[name]
    rows = pictures * network.passes
    with init_empty_weights(include_buffers=False):
        module = network.build().eval()
    with FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode():
        # Not on the meta device: PyTorch picks other kernels of attention there, with more memory.
        weights = {name: torch.empty(p.shape) for name, p in module.named_parameters()}
        inputs = network.inputs(rows)
        with FlopCounterMode(display=False) as counter, TensorsAlive() as alive:
            functional_call(module, weights, inputs)
    parameters = count_parameters(module)
    return {
        "title": network.title,
        "guidance": network.guidance,
        "forwards": network.forwards,
        "once": list(network.once),
        "parameters": parameters,
        "flops": counter.get_total_flops() / rows,
        "memory_mb": (4 * parameters + alive.peak) / MIB,
    }


def training_batch(model: XMDPTTransformer2DModel, rows: int) -> dict[str, Tensor]:
    """A random batch with everything that a training step reads, on the default device."""
    config = model.config
    latent = (rows, config.in_channels, config.sample_size, config.sample_size)
    return {
        "target_latent": torch.randn(latent),
        "source_latent": torch.randn(latent),
        "pose_tokens": torch.randn(rows, config.pose_tokens, config.pose_width),
        "source_tokens": torch.randn(rows, config.source_tokens, config.source_width),
        "t": torch.randint(NUM_TIMESTEPS, (rows,)),
        "noise": torch.randn(latent),
        "mask_noise": torch.rand(rows, model.num_patches),
        "drop": torch.rand(2, rows),
    }


def total_loss(losses: dict[str, Tensor]) -> Tensor:
    """The sum of Eq. 5 over a batch's mean losses."""
    return losses["loss"].mean() + losses["masked_loss"].mean()


def count_training(name: CostModel, wrap: TrainingStep) -> dict[str, Any]:
    """Parameters and operations of a training step: both passes, forward and backward."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = build_x_mdpt(name[-1], "self_cross").train()
        batch = training_batch(model, 1)
        with FlopCounterMode(display=False) as counter:
            total_loss(wrap(model)(batch)).backward()
    return {"parameters": count_parameters(model), "flops": float(counter.get_total_flops())}


# Timed


def synchronize(device: torch.device) -> None:
    """Wait for what a GPU is still computing."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def time_call(call: Callable[[], Any], device: torch.device) -> float:
    """Seconds that `call` takes: the median over LEAST_SECONDS of calls, but for the first."""
    least = 3 if device.type == "cuda" else 2
    taken: list[float] = []
    while len(taken) < least or sum(taken) < LEAST_SECONDS:
        synchronize(device)
        start = time.perf_counter()
        call()
        synchronize(device)
        taken.append(time.perf_counter() - start)
    return median(taken[1:])


def random_network(build: Callable[[], Module], device: torch.device) -> Module:
    """A network with small random weights on `device`, without its slow initialisation."""
    with init_empty_weights(include_buffers=False):
        module = build()
    for name, parameter in list(module.named_parameters()):
        value = torch.empty(parameter.shape, device=device).uniform_(-0.02, 0.02)
        set_module_tensor_to_device(module, name, device, value)
    return module.to(device)


def time_inference(
    name: CostModel, batch_size: int, device: torch.device
) -> tuple[float, float | None]:
    """Seconds of a guided step (or the only call) at `batch_size` pictures; peak MiB of a GPU."""
    network = NETWORKS[name]
    module = random_network(network.build, device).eval()
    with torch.inference_mode(), torch.device(device):
        inputs = network.inputs(batch_size * network.passes)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with torch.inference_mode(), autocast(device, network.precision):
        seconds = time_call(lambda: module(*inputs), device)
    peak = torch.cuda.max_memory_allocated(device) / MIB if device.type == "cuda" else None
    return seconds, peak


def time_training(
    name: CostModel, wrap: TrainingStep, batch_size: int, device: torch.device
) -> float:
    """Seconds of a training step, with AdamW's update on a GPU and without it elsewhere.

    The update takes the same time for any batch. At the one or two pictures that a CPU can take,
    it would be a far larger share of the step than in real training.
    """
    model = random_network(lambda: build_x_mdpt(name[-1], "self_cross"), device).train()
    with torch.device(device):
        batch = training_batch(model, batch_size)
    module = wrap(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0)

    def step() -> None:
        with autocast(device, "auto"):
            losses = module(batch)
        total_loss(losses).backward()
        if device.type == "cuda":
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return time_call(step, device)


# Counted and timed, for a list of networks


def describe_machine(device: torch.device) -> dict[str, Any]:
    """The machine that the numbers were measured on."""
    name = platform.machine()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return {
        "device": device.type,
        "name": name,
        "threads": torch.get_num_threads(),
        "precision": "bf16" if multiplies_bf16(device) else "fp32",
        "torch": torch.__version__,
    }


def measure_costs(
    models: Sequence[CostModel],
    repeats: int,
    batch_size: int,
    train_batch_size: int,
    wrap: TrainingStep | None,
    device: torch.device,
    progress: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Count each network, then time it in rounds (A B C A B C), one network at a time.

    `wrap` makes the training module of a model; without it no training is measured. The result is
    plain JSON: `machine`, `settings`, `networks` (for each: `count_inference` and `seconds` of a
    guided step in each round) and `training` (for each X-MDPT: `count_training` and `seconds` of a
    step). On a GPU `memory_mb` is the peak of the timed step instead of the count;
    `settings.memory_pictures` is the number of pictures that it is for.
    """
    names = sorted(set(models), key=list(NETWORKS).index)
    networks = {name: count_inference(name) | {"seconds": []} for name in names}
    training: dict[CostModel, dict[str, Any]] = {}
    if wrap is not None:
        trained = [name for name in names if name.startswith("x_mdpt")]
        training = {name: count_training(name, wrap) | {"seconds": []} for name in trained}
    for index in range(repeats):
        for name in names:
            progress(f"round {index + 1} of {repeats}: {NETWORKS[name].title}")
            seconds, peak = time_inference(name, batch_size, device)
            networks[name]["seconds"].append(seconds)
            if peak is not None:
                networks[name]["memory_mb"] = peak
            if wrap is not None and name in training:
                seconds = time_training(name, wrap, train_batch_size, device)
                training[name]["seconds"].append(seconds)
            gc.collect()  # networks hold reference cycles, and the next one needs the memory
    settings = {"steps": STEPS, "pictures": PICTURES, "repeats": repeats, "batch_size": batch_size}
    settings["train_batch_size"] = train_batch_size
    settings["memory_pictures"] = batch_size if device.type == "cuda" else PICTURES
    machine = describe_machine(device)
    return {"machine": machine, "settings": settings, "networks": networks, "training": training}
