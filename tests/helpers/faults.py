"""Faults put into stages at tiny size: each trial runs in a process of its own, forked from ours.

A world holds people, an autoencoder, features and trained weights. A stage turns them into a folder
`out`; what it makes without a fault is what it must make after one.
"""

import ctypes
import hashlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from helpers.projects import write_project
from xmdpt.config import load_config
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.features.make import Encoders, cache_features
from xmdpt.features.rows import SHARED
from xmdpt.support.ends import in_one_line
from xmdpt.support.files import resumable_dir
from xmdpt.support.hub import weights_key
from xmdpt.training.run import train_run
from xmdpt.training.states import STATES
from xmdpt.training.vae import load_vae, train_vae
from xmdpt.weights.runs import load_run, sample_pairs

STEPS, SAVE_EVERY, TIME_LIMIT = 24, 4, 600
KILLED = -signal.SIGKILL
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG, see `man prctl`
Stage = Callable[[Path, Path, Callable[[int], None]], None]
"""world, the folder to make, what to call with each step -> None"""


def make_world(root: Path) -> None:
    """Everything that the stages start from."""
    settings = {"checkpoints": {"early": 6, "main": STEPS}, "batch_size": 4}
    write_project(root, {"base_b": {"title": "B"}}, save_every=SAVE_EVERY, **settings)
    params = root / "params.yaml"
    content = params.read_text()
    content = content.replace("data/pretrained/xmdpt-synthetic/vae", str(root / "models/vae"))
    params.write_text(content)
    train(root, root / "models/base_b", lambda step: None)


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
    train_run(config, world / SHARED, out, lambda row: on_step(int(row["step"])))


def vae(world: Path, out: Path, on_step: Callable[[int], None]) -> None:
    """The autoencoder."""
    config = _config(world)
    data = DeepFashion(config.data.root, config.data.size)
    names = data.pictures("train")
    network = load_vae(config.vae, config.data.size, 0)
    key = weights_key([network])

    def read(row: int) -> np.ndarray:
        return data.picture(names[row])

    with resumable_dir(out, key, scratch=STATES) as work:
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

    cache_features(out, names, data, encoders, config.features, progress, shard_size=2)


def sample(world: Path, out: Path, on_step: Callable[[int], None]) -> None:
    """Pictures of the test pairs."""
    config = _config(world)
    data = DeepFashion(config.data.root, config.data.size)
    pipe = load_run(config, "base_b", "main", world / "models")

    def progress(starts: Iterator[int]) -> Iterator[int]:
        for start in starts:
            on_step(start)
            yield start

    with resumable_dir(out, "key") as work:
        pairs = data.pairs("test")
        sample_pairs(pipe, data, pairs, work, config.sample, 0, progress)


STAGES: dict[str, Stage] = {"train": train, "vae": vae, "features": features, "sample": sample}


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (of a signal, minus its number), its steps, its words."""

    code: int
    steps: list[int]
    said: str
    seconds: float


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
        with in_one_line():
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


def _take(path: Path) -> str:
    text = path.read_text() if path.exists() else ""
    path.unlink(missing_ok=True)
    return text


def finish(pid: int, place: Path, send: int | None = None, after: float = 0.0) -> Ended:
    """Wait for a process, to which a signal may be sent after so many seconds."""
    began = time.monotonic()
    status = 0
    while not (done := os.waitpid(pid, os.WNOHANG))[0]:
        seconds = time.monotonic() - began
        if send is not None and seconds >= after:
            os.kill(pid, send)
            send, began = None, time.monotonic()
        if seconds > TIME_LIMIT:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)
    status = done[1]
    code = os.waitstatus_to_exitcode(status)
    steps = [int(line) for line in _take(place.with_name(f"{place.name}.steps")).split()]
    said = _take(place.with_name(f"{place.name}.said"))
    return Ended(code, steps, said, time.monotonic() - began)


def carry_out(stage: str, world: Path, place: Path, **how) -> Ended:
    """Carry out a stage, perhaps with a signal on the way."""
    return finish(start(stage, world, place), place, **how)


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass(frozen=True)
class Reference:
    """What a stage makes without a fault, and how long it takes."""

    files: dict[str, str]
    seconds: float


def reference(stage: str, world: Path, place: Path) -> Reference:
    """Carry a stage out without a fault."""
    ended = carry_out(stage, world, place)
    assert ended.code == 0, ended.said
    return Reference(digests(place), ended.seconds)


def lost_steps(parts: list[list[int]]) -> int:
    """The most steps that any part did again after an earlier one."""
    pairs = [(a, b) for a, b in itertools.pairwise(parts) if a and b]
    return max((a[-1] - b[0] + 1 for a, b in pairs), default=0)


@dataclass(frozen=True)
class Trial:
    """What came of a fault: `survived`, or what was lost."""

    fault: str
    stage: str
    outcome: str

    @property
    def survived(self) -> bool:
        return self.outcome == "survived"


def _finished(stage: str, world: Path, place: Path, wanted: Reference) -> tuple[Ended, str]:
    """Carry the stage out to its end, and compare."""
    ended = carry_out(stage, world, place)
    if ended.code:
        return ended, f"did not go on: {ended.said.strip()[-300:]}"
    made = digests(place)
    differ = sorted(
        name
        for name in made.keys() | wanted.files.keys()
        if made.get(name) != wanted.files.get(name)
    )
    return ended, f"other files: {', '.join(differ[:3])}" if differ else "survived"


def kill(stage: str, world: Path, place: Path, wanted: Reference, rng: random.Random) -> Trial:
    """Killed up to three times at random moments, then carried out to the end."""
    parts = []
    for _ in range(rng.randint(1, 3)):
        after = rng.uniform(0, 1.05 * wanted.seconds)
        parts.append(carry_out(stage, world, place, send=signal.SIGKILL, after=after).steps)
    ended, outcome = _finished(stage, world, place, wanted)
    lost = lost_steps([*parts, ended.steps])
    if stage in ("train", "vae") and lost > SAVE_EVERY:
        outcome = f"{lost} steps were done again"
    return Trial("kill -9", stage, outcome)


def notice(stage: str, world: Path, place: Path, wanted: Reference, rng: random.Random) -> Trial:
    """A scheduler's notice at a random moment: the process ends in time, and loses no step."""
    number = rng.choice([signal.SIGTERM, signal.SIGUSR1])
    after = rng.uniform(0, 1.05 * wanted.seconds)
    first = carry_out(stage, world, place, send=number, after=after)
    ended, outcome = _finished(stage, world, place, wanted)
    if first.seconds > 20:
        outcome = f"took {first.seconds:.0f} s to end"
    if first.code == 75 and lost_steps([first.steps, ended.steps]):
        outcome = "a step was done again"
    return Trial("SIGTERM or SIGUSR1", stage, outcome)


def two(stage: str, world: Path, place: Path, wanted: Reference, rng: random.Random) -> Trial:
    """Two at once: one does the work, and the other says so, or finds it finished."""
    pids = [start(stage, world, place) for _ in range(2)]
    time.sleep(rng.uniform(0, 0.05))
    ended = [finish(pid, place) for pid in pids]
    said = "".join(each.said for each in ended)
    if not any(each.code == 0 for each in ended):
        return Trial("two at once", stage, f"neither finished: {said[-300:]}")
    if any(each.code for each in ended) and "is at work on it" not in said:
        return Trial("two at once", stage, f"one failed: {said[-300:]}")
    return Trial("two at once", stage, _finished(stage, world, place, wanted)[1])


def flip(stage: str, world: Path, place: Path, wanted: Reference, rng: random.Random) -> Trial:
    """A bit of a random file in the working folder is flipped between a kill and going on."""
    for _ in range(20):
        carry_out(
            stage, world, place, send=signal.SIGKILL, after=rng.uniform(0.3, 0.95) * wanted.seconds
        )
        files = [
            path
            for folder in place.glob(".*")
            for path in sorted(folder.rglob("[!.]*"))
            if path.is_file()
        ]
        if files:
            break
        shutil.rmtree(place, ignore_errors=True)
    else:
        return Trial("a bit flipped", stage, "nothing was left to damage")
    path = rng.choice(files)
    content = bytearray(path.read_bytes())
    place_of_bit = rng.randrange(len(content)) if content else 0
    if content:
        content[place_of_bit] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    ended = carry_out(stage, world, place)
    fault = f"a bit of {path.suffix or path.name} flipped"
    if ended.code:
        named = path.name in ended.said or path.parent.name in ended.said
        return Trial(fault, stage, "survived" if named else f"not named: {ended.said[-300:]}")
    same = digests(place) == wanted.files
    return Trial(fault, stage, "survived" if same else f"{path.name}, byte {place_of_bit}: silent")


@contextmanager
def small_disk(place: Path, megabytes: float) -> Iterator[None]:
    """A file system of its own at `place`, as large as that."""
    place.mkdir(parents=True, exist_ok=True)
    size = f"size={int(megabytes * 1024)}k"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def _remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def full(stage: str, world: Path, place: Path, wanted: Reference, rng: random.Random) -> Trial:
    """The disk is full at a random size; with more space the same call goes on."""
    needed = sum(path.stat().st_size for path in _made(world, stage)) / 2**20
    with small_disk(place, max(0.05, rng.uniform(0.05, 0.9) * needed)):
        first = carry_out(stage, world, place)
        if first.code == 0:
            return Trial("disk full", stage, "survived")
        _remount(place, f"size={int(20 * needed) + 64}m")
        outcome = _finished(stage, world, place, wanted)[1]
    if outcome == "survived" and not _in_one_line(first, "no space left"):
        outcome = f"said: {first.said.strip()[-300:]}"
    return Trial("disk full", stage, outcome)


def read_only(stage: str, world: Path, place: Path, wanted: Reference, rng: random.Random) -> Trial:
    """The disk becomes read-only at a random moment; writable again, the same call goes on."""
    with small_disk(place, 500):
        pid = start(stage, world, place)
        time.sleep(rng.uniform(0, 0.9) * wanted.seconds)
        for _ in range(200):  # busy while a file is open for writing
            busy = subprocess.run(["mount", "-o", "remount,ro", str(place)], capture_output=True)
            if not busy.returncode:
                break
            time.sleep(0.005)
        first = finish(pid, place)
        _remount(place, "rw")
        outcome = _finished(stage, world, place, wanted)[1]
    if outcome == "survived" and first.code and not _in_one_line(first, "read-only file system"):
        outcome = f"said: {first.said.strip()[-300:]}"
    return Trial("read-only", stage, outcome)


def _made(world: Path, stage: str) -> list[Path]:
    return [path for path in (world / "wanted" / stage).rglob("*") if path.is_file()]


def _in_one_line(ended: Ended, words: str) -> bool:
    errors = [line for line in ended.said.splitlines() if line.startswith("error: ")]
    return (
        ended.code == 2
        and len(errors) == 1
        and words in errors[0]
        and "Traceback" not in ended.said
    )


FAULTS = {
    "kill": kill, "notice": notice, "two": two, "flip": flip, "full": full, "read-only": read_only,
}  # fmt: skip
MOUNTING = ("full", "read-only")


def can_mount(folder: Path) -> bool:
    """Whether this user may make a small disk there."""
    try:
        with small_disk(folder / "probe", 1):
            return True
    except (subprocess.CalledProcessError, OSError):
        return False


def trials(world: Path, faults: list[str], count: int, seed: int) -> Iterator[Trial]:
    """Put each fault `count` times into each stage, by a seed; yield what came of it."""
    wanted = {stage: reference(stage, world, world / "wanted" / stage) for stage in STAGES}
    for number in range(count):
        for fault in faults:
            for stage in STAGES:
                rng = random.Random(f"{seed} {fault} {stage} {number}")
                place = world / "trials" / f"{fault}-{stage}-{number}"
                yield FAULTS[fault](stage, world, place, wanted[stage], rng)
                shutil.rmtree(place, ignore_errors=True)


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
