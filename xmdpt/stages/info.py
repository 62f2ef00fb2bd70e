"""What `xmdpt info` says: versions, machine, and which data and weights are at hand."""

import os
import platform
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from xmdpt.config import load_config
from xmdpt.stages.profiles import active_profile, find_profiles
from xmdpt.support.compiler import find_compiler
from xmdpt.support.git import commit_of

PACKAGES = (
    *("torch", "torchvision", "numpy", "diffusers", "transformers", "timm", "accelerate"),
    *("dvc", "papermill", "wandb", "anny", "mitsuba", "gradio"),
)
GIB = 2**30


@dataclass(frozen=True)
class Item:
    """Data or weights that some work needs."""

    what: str
    needed_for: str
    place: str
    at_hand: bool
    get_it: str
    """The command that fetches or makes it."""


def _attempt(question: Callable[[], Any]) -> Any:
    """The answer; where asking fails, why. A report on a broken machine must not break too."""
    try:
        return question()
    except Exception as error:
        return f"unknown ({type(error).__name__}: {' '.join(str(error).split())[:120]})"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    commit, dirty, _ = commit_of().partition("-dirty")
    return commit[:7] + (" and changes" if dirty else "")


def _profile() -> str:
    name = load_config().profile
    return name if active_profile(find_profiles()) == name else f"{name}, changed by hand"


def _processor() -> str:
    if os.path.exists("/proc/cpuinfo"):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / GIB:.0f} GiB"


def _gpus() -> list[str]:
    import torch

    from xmdpt.support.precision import gpu_count

    found = [torch.cuda.get_device_properties(number) for number in range(gpu_count())]
    return [f"{gpu.name}, {gpu.total_memory / GIB:.0f} GiB" for gpu in found]


def _device() -> dict[str, str]:
    """Where commands compute unless told otherwise, and in which number format."""
    import torch

    from xmdpt.support.arguments import pick_device
    from xmdpt.support.precision import resolve

    device = pick_device(None)
    return {"device": device, "precision (auto)": resolve(torch.device(device), "auto")}


def _brief(path: Path) -> str:
    """A path from here or from home, which a bug report may show."""
    for start, sign in ((Path.cwd(), ""), (Path.home(), "~/")):
        if path.is_relative_to(start):
            return f"{sign}{path.relative_to(start)}"
    return str(path)


def _is_cached(name: str) -> bool:
    """Whether a folder, or a repository in the hub's cache, holds a network."""
    from huggingface_hub import try_to_load_from_cache

    from xmdpt.support.hub import is_folder

    folder: Path | None = Path(name)
    if not is_folder(name):
        config = try_to_load_from_cache(name, "config.json")
        folder = Path(config).parent if isinstance(config, str) else None
    if folder is None or not (folder / "config.json").is_file():
        return False
    return any(path.suffix in (".safetensors", ".bin") for path in folder.iterdir())


def _of_hub(what: str, needed_for: str, name: str) -> Item:
    from xmdpt.support.hub import is_folder

    get_it = f"copy the network's folder to {name}" if is_folder(name) else f"hf download {name}"
    return Item(what, needed_for, name, _is_cached(name), get_it)


def _checkpoints(run: str) -> list[bool]:
    """Of each checkpoint of a run, whether it is there."""
    names = load_config(run=run).train.checkpoints
    return [(Path("models") / run / name / "config.json").is_file() for name in names]


def _of_this_profile() -> Iterator[Item]:
    config = load_config()
    data, use = config.data, f"the profile `{config.profile}`"
    if data.rendered is None:
        there = Path(data.raw).exists()
        yield Item("data set", use, data.raw, there, f"xmdpt survey {data.raw}")
    people = "rendered people" if data.rendered else "index of the data set"
    yield Item(people, use, data.root, Path(data.root).is_dir(), "dvc repro prepare")
    trained = {run: all(_checkpoints(run)) for run in config.runs}
    for at_hand in (True, False):
        runs = ", ".join(run for run, there in trained.items() if there == at_hand)
        if runs:
            yield Item(f"trained runs ({runs})", use, "models", at_hand, "make repro")


def _of_the_paper() -> Iterator[Item]:
    config, use = load_config("profiles/paper.yaml"), "the profile `paper`"
    raw = config.data.raw
    yield Item("DeepFashion", use, raw, Path(raw).exists(), f"xmdpt survey {raw}")
    if config.vae.init is not None:
        yield _of_hub("VAE", use, config.vae.init)
    for kind in ("source", "pose"):
        yield _of_hub(f"{kind} encoder", use, getattr(config.features, f"{kind}_encoder"))


def _of_photos() -> Iterator[Item]:
    from xmdpt.photos.people import DETECTOR, POSE_ESTIMATOR, SEGMENTER

    for what, name in (
        ("person detector", DETECTOR),
        ("pose estimator", POSE_ESTIMATOR),
        ("segmenter", SEGMENTER),
    ):
        yield _of_hub(what, "photos without given joints", name)


def _of_metrics() -> Iterator[Item]:
    import torch

    from xmdpt.evaluation.networks import inception_url
    from xmdpt.evaluation.protocols import PROTOCOLS
    from xmdpt.metrics.perceptual import TRUNKS

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    urls = {"LPIPS's AlexNet": TRUNKS["alex"].url}
    urls |= {
        f"Inception ({rules.network})": inception_url(rules.network)
        for protocol in PROTOCOLS.values()
        for rules in protocol.frechet
        if "inception" in rules.network
    }
    for what, url in urls.items():
        path = folder / url.rpartition("/")[2]
        place = _brief(path) if " " not in str(path) else shlex.quote(str(path))
        there = path.is_file() and path.stat().st_size > 0
        command = f"curl --create-dirs -L -o {place} {url}"
        yield Item(what, "FID and LPIPS", place, there, command)


def _bundled() -> Iterator[Item]:
    from xmdpt.weights.load import BUNDLED

    there, place = (BUNDLED / "model_index.json").is_file(), _brief(BUNDLED)
    yield Item("small weights", "rendered people", place, there, f"git checkout -- {place}")


def collect() -> dict[str, Any]:
    """All that is known, as plain JSON: versions, machine, repository, items. Never fails."""
    sources = (_bundled, _of_this_profile, _of_photos, _of_the_paper, _of_metrics)
    items: list[Item] = []
    failures = [_attempt(partial(items.extend, source())) for source in sources]
    return {
        "versions": {"xmdpt": _version("xmdpt"), "python": platform.python_version()}
        | {package: _version(package) for package in PACKAGES},
        "machine": {
            "system": platform.platform(),
            "processor": _attempt(_processor),
            "cores": os.cpu_count(),
            "memory": _attempt(_memory),
            "free disk": _attempt(lambda: f"{shutil.disk_usage('.').free / GIB:.0f} GiB"),
            "GPUs": _attempt(_gpus),
            "C++ compiler (torch.compile)": find_compiler(),
            "computes on": _attempt(_device),
        },
        "repository": {
            "commit": _attempt(_commit),
            "profile": _attempt(_profile),
        },
        "items": [asdict(item) for item in items],
        "not looked for": [reason for reason in failures if reason is not None],
    }


def as_text(info: dict[str, Any]) -> str:
    """`collect()` for people to read."""
    lines = []
    for section in ("versions", "machine", "repository"):
        lines.append(section)
        for name, value in info[section].items():
            shown = value
            if isinstance(value, dict):
                shown = ", ".join(f"{key} {said}" for key, said in value.items())
            elif isinstance(value, list):
                shown = "; ".join(value) or "none"
            lines.append(f"  {name:28} {'none' if shown is None else shown}")
    for title, at_hand in (("at hand", True), ("missing (how to get it)", False)):
        lines.append(title)
        for item in (item for item in info["items"] if item["at_hand"] == at_hand):
            said = item["place"] if at_hand else item["get_it"]
            lines.append(f"  {item['what']}, for {item['needed_for']}: {said}")
    lines += [f"not looked for: {reason}" for reason in info["not looked for"]]
    return "\n".join(lines)
