"""Stages at tiny size, each carried out in a process of its own, forked from ours.

A world holds people, an autoencoder, features, trained weights and pictures drawn with them. A
stage turns them into a folder `out`, and keeps its working folder beside it as the stages of the
graph do; what it makes without a fault is what it must make after one.
"""

import ctypes
import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from helpers.projects import write_project
from xmdpt.config import load_config
from xmdpt.data.deepfashion import DataError, DeepFashion
from xmdpt.evaluation.baselines import write_scores
from xmdpt.evaluation.evaluate import evaluate_pairs
from xmdpt.evaluation.shards import RowStore
from xmdpt.evaluation.summary import summarise
from xmdpt.features.make import Encoders, cache_features
from xmdpt.features.rows import SHARED
from xmdpt.people.dataset import render_dataset
from xmdpt.support.arguments import one_line
from xmdpt.support.ends import in_one_line
from xmdpt.support.files import resumable_dir
from xmdpt.support.hub import weights_key
from xmdpt.support.shards import NOTES
from xmdpt.training.run import train_run
from xmdpt.training.states import STATES
from xmdpt.training.vae import load_vae, train_vae
from xmdpt.weights.runs import load_run, sample_pairs

STEPS, SAVE_EVERY, TIME_LIMIT = 24, 4, 600
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG, see `man prctl`
Stage = Callable[[Path, Path, Callable[[int], None]], None]
"""world, the folder to make, what to call with each step -> None"""


def make_world(root: Path) -> None:
    """Everything that the stages start from."""
    settings = {"checkpoints": {"ablation": 6, "main": STEPS}, "batch_size": 4}
    write_project(root, {"base_b": {"title": "B"}}, save_every=SAVE_EVERY, **settings)
    params = root / "params.yaml"
    content = params.read_text()
    content = content.replace("data/pretrained/xmdpt-synthetic/vae", str(root / "models/vae"))
    params.write_text(content)
    train(root, root / "models/base_b", lambda step: None)
    sample(root, root / "samples", lambda step: None)


def _config(world: Path):
    config = load_config(world / "params.yaml", "base_b")
    vae = {"init": str(world / "models/vae"), "steps": STEPS, "save_every": SAVE_EVERY}
    vae |= {"batch_size": 2, "crop": 32, "precision": "fp32"}
    sample = {"num_inference_steps": 4, "batch_size": 2}
    changes = {"vae": config.vae.model_copy(update=vae)}
    changes["sample"] = config.sample.model_copy(update=sample)
    return config.model_copy(update=changes)


def train(world: Path, out: Path, on_step: Callable[[int], None]) -> None:
    """The transformer."""
    config = _config(world)
    train_run(config, world / SHARED, out, lambda row: on_step(int(row["step"])), keep=True)


def vae(world: Path, out: Path, on_step: Callable[[int], None]) -> None:
    """The autoencoder."""
    config = _config(world)
    data = DeepFashion(config.data.root, config.data.size)
    names = data.pictures("train")
    network = load_vae(config.vae, config.data.size, 0)
    key = weights_key([network])

    def read(row: int) -> np.ndarray:
        return data.picture(names[row])

    with resumable_dir(out, key, keep=True, scratch=STATES) as work:
        for progress in train_vae(network, read, len(names), config.vae, 0, work):
            if not progress.found:
                on_step(progress.step)


def features(world: Path, out: Path, on_step: Callable[[int], None]) -> None:
    """Features, a shard of two pictures at a time."""
    config = _config(world)
    data = DeepFashion(config.data.root, config.data.size)
    names = data.pictures("train") + data.pictures("test")
    encoders = Encoders.load(load_vae(config.vae, config.data.size, 0), config.features)

    def progress(shards: Iterator[int]) -> Iterator[int]:
        for shard in shards:
            on_step(shard)
            yield shard

    cache_features(out, names, data, encoders, config.features, progress, shard_size=2, keep=True)


def sample(world: Path, out: Path, on_step: Callable[[int], None]) -> None:
    """Pictures of the test pairs."""
    config = _config(world)
    data = DeepFashion(config.data.root, config.data.size)
    pipe = load_run(config, "base_b", "main", world / "models")

    def progress(starts: Iterator[int]) -> Iterator[int]:
        for start in starts:
            on_step(start)
            yield start

    with resumable_dir(out, "key", keep=True) as work:
        pairs = data.pairs("test")
        sample_pairs(pipe, data, pairs, work, config.sample, 0, progress)


@contextmanager
def _notes_seen(folder: Path, pattern: str, on_step: Callable[[int], None]) -> Iterator[None]:
    """Call `on_step` with the number in each note that appears below a folder."""
    ended, seen = threading.Event(), {*folder.glob(pattern)}

    def look() -> None:
        for note in sorted({*folder.glob(pattern)} - seen):
            seen.add(note)
            on_step(int(note.stem))

    def watch() -> None:
        while not ended.wait(0.005):
            look()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    yield
    ended.set()
    watching.join()
    look()


def prepare(world: Path, out: Path, on_step: Callable[[int], None]) -> None:
    """Rendered people, by two processes."""
    settings = {"identities": 5, "test_identities": 2, "views": 2, "height": 48}
    with _notes_seen(out.parent, f".{out.name}.partial-*/{NOTES}", on_step):
        render_dataset(out, **settings, samples_per_pixel=1, seed=0, workers=2, keep=True)


def evaluate(world: Path, out: Path, on_step: Callable[[int], None]) -> None:
    """Scores of the pictures, in batches of two pairs, and of their training pictures."""
    config = _config(world)
    data = DeepFashion(config.data.root, config.data.size)
    store = RowStore(out.parent / f".{out.name}.rows")
    sys.modules[evaluate_pairs.__module__].BATCH = 2
    with _notes_seen(store.folder, f"*/{NOTES}", on_step):
        scores, table = summarise(
            {"main": world / "samples"}, data.root, data.root, config.evaluate.protocol, 0,
            cache_dir=out.parent / f".{out.name}.statistics", store=store, progress=False,
        )  # fmt: skip
        write_scores(out, scores, table, 0)


STAGES: dict[str, Stage] = {
    "prepare": prepare, "vae": vae, "features": features, "train": train, "sample": sample,
    "evaluate": evaluate,
}  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (of a signal, minus its number), its steps, its words.

    `seconds` are those since it was sent a signal, or since it began if it ended before (`told`).
    """

    code: int
    steps: list[int]
    said: str
    seconds: float
    told: bool


def start(stage: str, world: Path, place: Path) -> int:
    """Fork a process that carries out `stage` into `place`/out; returns its id."""
    place.mkdir(parents=True, exist_ok=True)
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
        words = os.open(place.parent / f"{place.name}.said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(words, 1), os.dup2(words, 2)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  # of this process alone
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        torch.set_num_threads(1)
        steps = open(place.parent / f"{place.name}.steps", "a", buffering=1)  # noqa: SIM115
        with in_one_line(), one_line(DataError):
            STAGES[stage](world, place / "out", lambda step: print(step, file=steps))
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def _lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


def _take(path: Path) -> str:
    text = path.read_text() if path.exists() else ""
    path.unlink(missing_ok=True)
    return text


def finish(
    pid: int, place: Path, send: int | None = None, after: float = 0.0, steps: int = 0
) -> Ended:
    """Wait for a process, to which a signal may be sent after so many seconds and steps."""
    began, count, told = time.monotonic(), place.with_name(f"{place.name}.steps"), False
    while not (done := os.waitpid(pid, os.WNOHANG))[0]:
        seconds = time.monotonic() - began
        if send is not None and seconds >= after and _lines(count) >= steps:
            os.kill(pid, send)
            send, began, told = None, time.monotonic(), True
        if seconds > TIME_LIMIT:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
    code = os.waitstatus_to_exitcode(done[1])
    made = [int(line) for line in _take(count).split()]
    said = _take(place.with_name(f"{place.name}.said"))
    return Ended(code, made, said, time.monotonic() - began, told)


def carry_out(stage: str, world: Path, place: Path, **how) -> Ended:
    """Carry out a stage, perhaps with a signal on the way."""
    return finish(start(stage, world, place), place, **how)


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file that a stage made in a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "out").rglob("*"))
        if path.is_file()
    }


@dataclass(frozen=True)
class Reference:
    """What a stage makes without a fault, in how many seconds and steps."""

    files: dict[str, str]
    seconds: float
    steps: int


def reference(stage: str, world: Path, place: Path) -> Reference:
    """Carry a stage out without a fault."""
    ended = carry_out(stage, world, place)
    assert ended.code == 0, ended.said
    return Reference(digests(place), ended.seconds, len(ended.steps))


def in_child(work: Callable[[], None]) -> None:
    """Do something in a forked process, so that this one starts no threads before it forks."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            torch.set_num_threads(1)
            work()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0, "the world could not be made"
