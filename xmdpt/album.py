"""`generate` for many: every person in every pose, or the lines of a table, into one folder.

`xmdpt generate` calls it; docs/use/photos.md explains the files. What it leaves in the folder:

* a picture for each line, `<source>_<pose>.png` unless a table names it;
* `pictures.csv`: source, pose, picture, seed and closeness to the source of each, and by what
  files and settings it was made, so that the next call draws only what is missing;
* `sheet.jpg`: people in rows, poses in columns; if wanted `<source>.gif`, pose after pose.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from xmdpt.data.keypoints import Units
from xmdpt.generate import (
    BATCH,
    Prepared,
    Ranking,
    closeness,
    combine,
    read_pose,
    read_source,
    sample,
)
from xmdpt.photos.framing import squash, unsquash
from xmdpt.photos.loading import PhotoError
from xmdpt.photos.marking import save_picture
from xmdpt.photos.people import PeopleFinder
from xmdpt.photos.sheets import Cell, animate, grid
from xmdpt.photos.subjects import Framed, Subject, in_one_frame, report_missing
from xmdpt.photos.tables import SHEET, Line, gif_names
from xmdpt.pipeline import ENCODING, XMDPTPipeline
from xmdpt.presets import Preset
from xmdpt.support.files import atomic_path, file_digest, fingerprint
from xmdpt.support.hub import weights_key

TABLE = "pictures.csv"
COLUMNS = ("source", "pose", "out", "seed", "closeness", "made_by")


@dataclass(frozen=True)
class How:
    """How all pictures are drawn; `xmdpt.generate.generate` and `Subject` explain each.

    source_keypoints and person: of the one source that all pictures have.
    """

    seed: int = 0
    num: int = 1
    ranking: Ranking = "tokens"
    rescale: bool = False
    remove_background: bool = False
    preset: Preset | None = None
    num_inference_steps: int | None = None
    guidance_scale: float = 2.0
    crop: bool | None = None
    source_units: Units | None = None
    pose_units: Units | None = None
    mark: bool = True
    any_source: bool = False
    source_keypoints: Path | None = None
    person: int | None = None
    one_frame: bool = False
    """All poses are of one camera; see `in_one_frame`."""


class Readings:
    """Sources and poses, each file read and framed once, whatever comes of it."""

    def __init__(
        self,
        how: How,
        finder: PeopleFinder,
        say: Callable[[str], None],
        more: Sequence[Path] = (),
        size: int | None = None,
    ) -> None:
        """Read nothing yet; `more` are other photos of the one person of all sources.

        Sources are kept as squares of side `size`, if given: all that is drawn from.
        """
        self._how, self._finder, self._say, self._more = how, finder, say, more
        self._size = size
        self._sources: dict[Path, Framed | PhotoError] = {}
        self._poses: dict[Path, Framed | PhotoError] = {}

    def source(self, path: Path) -> Framed:
        """The person on a photo; raises PhotoError, the same each time."""
        how = self._how

        def read() -> Framed:
            subject = Subject(
                path, how.source_keypoints, how.source_units, how.person, how.crop, "--person"
            )
            asked = (how.rescale, how.remove_background, how.any_source)
            framed = read_source(subject, self._finder, *asked)
            if self._size is None or framed.picture is None:
                return framed
            square = Image.fromarray(squash(framed.picture, self._size))
            return replace(framed, picture=square)  # many photos would not fit into memory

        return self._once(self._sources, path, read)

    def pose(self, path: Path) -> Framed:
        """The joints on a photo or in a file; raises PhotoError, the same each time."""

        def read() -> Framed:
            framed = read_pose(self._pose(path), self._finder)
            assert framed.keypoints is not None, "they were asked for"
            report_missing(framed.keypoints, str(path), self._say)
            return replace(framed, picture=None)  # many photos would not fit into memory

        return self._once(self._poses, path, read)

    def in_one_frame(self, paths: Iterable[Path]) -> None:
        """Frame these poses together, but for those that cannot be used."""
        for path in paths:
            with suppress(PhotoError):
                self.pose(path)
        usable = {path: one for path, one in self._poses.items() if isinstance(one, Framed)}
        self._poses |= in_one_frame(usable)

    def both(self, line: Line) -> Prepared:
        person, target = self.source(line.source), self.pose(line.pose)
        others = [self.source(path) for path in self._more]
        pose = self._pose(line.pose)
        return combine(person, target, pose, self._how.rescale, others, self._say)

    def _pose(self, path: Path) -> Subject:
        return Subject(path, units=self._how.pose_units, crop=self._how.crop)

    def _once(
        self, known: dict[Path, Framed | PhotoError], path: Path, read: Callable[[], Framed]
    ) -> Framed:
        if path not in known:
            try:
                known[path] = framed = read()
            except PhotoError as error:
                known[path] = error
            else:
                for remark in framed.remarks:
                    self._say(f"note: {remark}")
        found = known[path]
        if isinstance(found, PhotoError):
            raise found
        return found


@dataclass
class Result:
    """The lines whose pictures are there, how many were drawn now, and why others were not."""

    lines: list[Line] = field(default_factory=list)
    drawn: int = 0
    problems: list[str] = field(default_factory=list)

    def add_problem(self, problem: str) -> None:
        if problem not in self.problems:  # one file may stand in many lines
            self.problems.append(problem)


class Album:
    """A folder of results."""

    def __init__(
        self,
        folder: Path,
        pipe: XMDPTPipeline,
        finder: PeopleFinder,
        how: How,
        say: Callable[[str], None] = print,
        more: Sequence[Path] = (),
    ) -> None:
        """Read what an earlier call left; raises PhotoError where it is another program's.

        `more` are other photos of the one person whom all lines draw.
        """
        self.folder, self.pipe, self.how, self.more = folder, pipe, how, more
        self._finder = finder
        self._digest = cache(file_digest)  # a file stands in many lines
        self._readings = Readings(how, finder, say, more, pipe.size)
        self._together: tuple[Path, ...] = ()
        self._records = {row["out"]: row for row in _read_records(folder / TABLE)}

    @cached_property
    def _drawn_by(self) -> str:
        """A digest of the weights, of how they are used, and of the detectors."""
        pipe = self.pipe
        weights = weights_key(filter(None, (pipe.transformer, pipe.turbo, pipe.vae)))
        settings = [pipe.config[name] for name in ENCODING]
        sampler = (dict(pipe.scheduler.config), pipe.best_preset, str(pipe.learned))
        scale = pipe.vae.config["scaling_factor"]
        return fingerprint(weights, settings, sampler, scale, self._finder.settings)

    def _seed(self, line: Line) -> int:
        return self.how.seed if line.seed is None else line.seed

    def _made_by(self, line: Line) -> str:
        """A digest of all that a picture depends on."""
        joints = filter(None, [self.how.source_keypoints])
        named = (line.source, line.pose, *joints, *self.more, *self._together)
        files = [self._digest(path) for path in named]
        how = replace(self.how, seed=self._seed(line), source_keypoints=None)  # its content counts
        return fingerprint(files, str(how), self._drawn_by)

    def _is_drawn(self, line: Line) -> bool:
        """Whether the picture is there, and as these settings draw it.

        Raises PhotoError where another file has its name.
        """
        path = self.folder / line.name
        if not path.exists():
            return False
        if line.name not in self._records:
            raise self._in_the_way(line.name)
        return self._records[line.name]["made_by"] == self._made_by(line)

    def _in_the_way(self, name: str) -> PhotoError:
        return PhotoError(
            f"{self.folder / name}: is in the way, and {TABLE} beside it does not know it; move "
            "it, or choose another --out"
        )

    def claim(self, names: Iterable[str]) -> None:
        """Raise PhotoError where a new album would write over files of these names."""
        for name in names:
            if not self._records and (self.folder / name).exists():
                raise self._in_the_way(name)

    def draw(
        self,
        lines: Sequence[Line],
        progress: Callable[[Sequence[Sequence[Line]]], Iterable[Sequence[Line]]],
    ) -> Result:
        """Draw what is missing, batch by batch, each kept as it ends, and leave out what cannot be.

        `progress` is given the batches and passes them on. Raises PhotoError before anything is
        drawn where another file has the name of a picture.
        """
        if self.how.one_frame:
            poses = dict.fromkeys(line.pose for line in lines)
            self._together = tuple(path for path in poses if path.is_file())
            self._readings.in_one_frame(self._together)
        result = Result()
        waiting: list[Line] = []
        for line in lines:
            try:
                (result.lines if self._is_drawn(line) else waiting).append(line)
            except FileNotFoundError as error:
                result.add_problem(f"{error.filename}: no such file")
        together = max(BATCH // self.how.num, 1)
        batches = [waiting[at : at + together] for at in range(0, len(waiting), together)]
        for batch in progress(batches):
            self._draw_batch(batch, result)
        place = {line: number for number, line in enumerate(lines)}
        result.lines.sort(key=lambda line: place[line])
        return result

    def _draw_batch(self, lines: Sequence[Line], result: Result) -> None:
        ready: list[tuple[Line, Prepared]] = []
        for line in lines:
            try:
                ready.append((line, self._readings.both(line)))
            except PhotoError as error:
                result.add_problem(str(error))
        count = self.how.num
        items = [
            (prepared, self._seed(line) + more) for line, prepared in ready for more in range(count)
        ]
        how = self.how
        made = sample(self.pipe, items, how.preset, how.num_inference_steps, how.guidance_scale)
        for at, (line, prepared) in enumerate(ready):
            self._keep_best(line, prepared, made[at * count : (at + 1) * count])
            result.lines.append(line)
            result.drawn += 1

    def _keep_best(self, line: Line, prepared: Prepared, made: Sequence[np.ndarray]) -> None:
        source = prepared.source_at(self.pipe.size)
        scores = closeness(self.pipe, source, made, self.how.ranking)
        best = int(np.argmax(scores))
        values = (
            *(str(line.source), str(line.pose), line.name, str(self._seed(line) + best)),
            *(f"{scores[best]:.4f}", self._made_by(line)),
        )
        path = self.folder / line.name
        path.unlink(missing_ok=True)  # drawn in another way, which the record is no longer of
        self._records[line.name] = dict(zip(COLUMNS, values, strict=True))
        self._write_records()  # first, since a picture that is not on record is a stranger's
        save_picture(unsquash(Image.fromarray(made[best])), path, self.how.mark)

    def _write_records(self) -> None:
        with (
            atomic_path(self.folder / TABLE) as partial,
            partial.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self._records.values())

    def write_sheet(self, lines: Sequence[Line]) -> Path:
        """Write people in rows and poses in columns; what was not drawn stays white."""
        people = dict.fromkeys(line.source for line in lines)
        poses = dict.fromkeys(line.pose for line in lines)
        drawn = {(line.source, line.pose): line.name for line in lines}
        rows: list[list[Cell | None]] = [[None, *map(self._pose_cell, poses)]]
        for person in people:
            names = [drawn.get((person, pose)) for pose in poses]
            cells = [name and Cell(self._picture(name)) for name in names]
            rows.append([self._person_cell(person), *(cell or None for cell in cells)])
        path = self.folder / SHEET
        save_picture(grid(rows), path, self.how.mark)
        return path

    def _picture(self, name: str) -> Image.Image:
        """A picture of the folder; its file is closed, since an album has more than may be open."""
        with Image.open(self.folder / name) as picture:
            return picture.convert("RGB")

    def _person_cell(self, path: Path) -> Cell:
        framed = self._readings.source(path)
        assert framed.picture is not None, "sources are photos"
        side = self.pipe.size
        return Cell(unsquash(framed.picture.resize((side, side))), path.stem)

    def _pose_cell(self, path: Path) -> Cell:
        framed = self._readings.pose(path)
        assert framed.keypoints is not None, "they were asked for"
        nobody = Prepared(Image.new("RGB", (1, 1)), framed.keypoints)
        return Cell(unsquash(Image.fromarray(nobody.skeleton_at(self.pipe.size))), path.stem)

    def write_gifs(self, lines: Sequence[Line]) -> list[Path]:
        """Write the pictures of each person one after another, in the order of the lines."""
        written = []
        for person, gif in gif_names(lines).items():
            names = [line.name for line in lines if line.source == person]
            seeds = ", ".join(
                map(str, sorted({int(self._records[name]["seed"]) for name in names}))
            )
            path = self.folder / gif
            pictures = [self._picture(name) for name in names]
            animate(pictures, f"each drawn alone, seed {seeds}", path)
            written.append(path)
        return written


def _read_records(path: Path) -> list[dict[str, str]]:
    """The lines that an earlier call left; raises PhotoError for another program's table."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if any(row.keys() != {*COLUMNS} or None in row.values() for row in rows):
        raise PhotoError(f"{path}: was not written by `xmdpt generate`; choose another --out")
    return rows
