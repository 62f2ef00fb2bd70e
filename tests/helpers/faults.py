"""Faults put into small stages, by a seed, and what came of them."""

import itertools
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from helpers.small_stages import (
    SAVE_EVERY,
    STAGES,
    Ended,
    Reference,
    carry_out,
    digests,
    finish,
    reference,
    start,
)


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
        if (made := digests(place)).keys() == wanted.files.keys():  # it was finished before
            return Trial("kill -9", stage, "survived" if made == wanted.files else "other files")
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
    if first.told and first.seconds > 60:  # it may have ended by itself before
        outcome = f"took {first.seconds:.0f} s to end"
    if first.code == 75 and lost_steps([first.steps, ended.steps]):
        outcome = "a step was done again"
    return Trial("SIGTERM or SIGUSR1", stage, outcome)


def two(stage: str, world: Path, place: Path, wanted: Reference, rng: random.Random) -> Trial:
    """Two at once: one does the work, and the other says so, or finds it finished."""
    pids = [start(stage, world, place)]
    time.sleep(rng.uniform(0, 0.05))
    pids.append(start(stage, world, place))
    ended = [finish(pid, place) for pid in pids]
    said = "".join(each.said for each in ended)
    if not any(each.code == 0 for each in ended):
        return Trial("two at once", stage, f"neither finished: {said[-300:]}")
    if any(each.code for each in ended) and "is at work on it" not in said:
        return Trial("two at once", stage, f"one failed: {said[-300:]}")
    return Trial("two at once", stage, _finished(stage, world, place, wanted)[1])


def deleted(stage: str, world: Path, place: Path, wanted: Reference, rng: random.Random) -> Trial:
    """The finished output is deleted, as DVC does where it could not record it.

    It comes back from the working folder, without a step done again.
    """
    carry_out(stage, world, place)
    shutil.rmtree(place / "out")
    ended, outcome = _finished(stage, world, place, wanted)
    if outcome == "survived" and stage != "sample" and ended.steps:  # whose steps only look
        outcome = f"{len(ended.steps)} steps were done again"
    return Trial("output deleted", stage, outcome)


def clock(stage: str, world: Path, place: Path, wanted: Reference, rng: random.Random) -> Trial:
    """Killed, and the clock set back by up to a year: all that is there is of a time to come."""
    after = rng.uniform(0, 0.9 * wanted.seconds)
    carry_out(stage, world, place, send=signal.SIGKILL, after=after)
    for path in [place, *place.rglob("*")]:
        then = time.time() + rng.uniform(60, YEAR)
        os.utime(path, (then, then))
    return Trial("clock set back", stage, _finished(stage, world, place, wanted)[1])


def flip(
    stage: str, world: Path, place: Path, wanted: Reference, rng: random.Random
) -> Trial | None:
    """A bit of a random file in the working folder is flipped between a kill and going on.

    None where the stage was finished before the kill.
    """
    first = SAVE_EVERY + 1 if stage in ("train", "vae") else 2  # by then there is a file
    halfway = rng.randint(first, max(first, wanted.steps - 1))
    carry_out(stage, world, place, send=signal.SIGKILL, steps=halfway)
    files = [
        path
        for folder in place.glob(".*")
        for path in sorted(folder.rglob("[!.]*"))
        if path.is_file()
    ]
    if not files:
        return None
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
    needed = sum((world / "wanted" / stage / name).stat().st_size for name in wanted.files)
    needed /= 2**20
    with small_disk(place, max(0.05, rng.uniform(0.05, 0.9) * needed)):
        first = carry_out(stage, world, place)
        if first.code == 0:
            return Trial("disk full", stage, "survived")
        _remount(place, f"size={int(20 * needed) + 64}m")
        outcome = _finished(stage, world, place, wanted)[1]
    told = _in_one_line(first, "no space left") or _in_one_line(first, "the disk has")
    if outcome == "survived" and not told:
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


def _in_one_line(ended: Ended, words: str) -> bool:
    errors = [line for line in ended.said.splitlines() if line.startswith("error: ")]
    return (
        ended.code == 2
        and len(errors) == 1
        and words in errors[0]
        and "Traceback" not in ended.said
    )


FAULTS = {
    "kill": kill, "notice": notice, "two": two, "deleted": deleted, "clock": clock, "flip": flip,
    "full": full, "read-only": read_only,
}  # fmt: skip
YEAR = 365 * 24 * 3600
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
                trial = FAULTS[fault](stage, world, place, wanted[stage], rng)
                if trial is not None:
                    yield trial
                shutil.rmtree(place, ignore_errors=True)
