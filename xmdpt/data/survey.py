"""What an existing data set holds, what it lacks, and where to get that."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from xmdpt.data.annotations import (
    SPLITS,
    Keypoints,
    Pair,
    Split,
    Target,
    list_file,
    open_keypoints,
    pair_files,
    pairs_of,
    read_list,
    read_pairs,
    read_targets,
)
from xmdpt.data.deepfashion import DeepFashion
from xmdpt.data.fit import set_remarks
from xmdpt.data.keypoints import FRAME_HEIGHT, FRAME_WIDTH, JOINTS, why_no_pose
from xmdpt.data.pairs import NESTED, mangle, possible_pairs, result_name
from xmdpt.data.remarks import (
    clue,
    remarks_on_files,
    remarks_on_pairs,
    remarks_on_splits,
    some,
)
from xmdpt.data.stores import DataError, LmdbStore, Store, find_files, lmdb_folders, open_store

EXPECTED = {
    "pictures": 52_712,
    "train pictures": 48_674,
    "test pictures": 4_038,
    "train pairs": 101_966,
    "test pairs": 8_570,
    "key points": 52_712,
    "joints": 18,
}
"""The counts of DeepFashion In-shop, as the field uses it."""

PICTURES = """\
pictures: DeepFashion's In-shop Clothes Retrieval benchmark, file Img/img_highres.zip, from
  https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html
  Its licence allows non-commercial research only: fill in the agreement form there, and you get
  the password of the archive by e-mail. Unzip it to {root}/img_highres/WOMEN/..., .../MEN/...
  (or put an LMDB made from it by NTED's or PIDM's tools there: {root}/{size}-{size}/)"""
PAIRS = """\
{split} pairs: {split}_pairs.txt, linked from NTED's README
  https://github.com/RenYurui/Neural-Texture-Extraction-Distribution
  (or fasion-resize-pairs-{split}.csv, linked from https://github.com/tengteng95/Pose-Transfer);
  put it into {root}/. For a data set of your own: pairs-{split}.csv with the columns from,to"""
KEYPOINTS = """\
key points: pose.rar, linked from NTED's README
  https://github.com/RenYurui/Neural-Texture-Extraction-Distribution
  Unpack it to {root}/pose/WOMEN/..., .../MEN/... (or put fasion-resize-annotation-train.csv and
  -test.csv, linked from https://github.com/tengteng95/Pose-Transfer, into {root}/).
  For a data set of your own: keypoints.csv, see docs/reproduce/data.md"""
LISTS = (
    "{split}.lst is not there: the {split} pictures are those in its pairs. DeepFashion's is in "
    "fashion_data/ of https://github.com/tengteng95/Pose-Transfer"
)

FewJoints = Literal["keep", "drop", "stop"]
"""Pictures without a pose: kept, as the field does, left out with their pairs, or an error."""
MOST_POSELESS = 0.5
"""Share of pictures without a pose from which the key point files are at fault."""
POSE_FRAME = (FRAME_HEIGHT, FRAME_WIDTH)


@dataclass(frozen=True)
class Finding:
    """One line of a survey; `expected` is the count in all of DeepFashion."""

    what: str
    found: int
    expected: int | None = None
    where: str = ""


@dataclass
class Survey:
    """What is below `root`; a data set with anything in `missing` cannot be used."""

    root: Path
    size: int
    findings: list[Finding] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: dict[Split, list[str]] = field(default_factory=dict)
    """The usable ones: listed, on disk, with key points."""
    targets: dict[Split, list[Target]] = field(default_factory=dict)
    pairs: dict[Split, list[Pair]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The usable pictures of both splits, each once."""
        return list(dict.fromkeys(name for split in self.pictures for name in self.pictures[split]))

    def table(self) -> pd.DataFrame:
        """The findings, one per row."""
        rows = [
            {
                "what": line.what,
                "found": f"{line.found:,}",
                "DeepFashion has": "" if line.expected is None else f"{line.expected:,}",
                "": "" if line.expected in (None, line.found) else "differs",
                "where": line.where,
            }
            for line in self.findings
        ]
        return pd.DataFrame(rows, columns=["what", "found", "DeepFashion has", "", "where"])

    def __str__(self) -> str:
        parts = [f"{self.root}:"]
        if self.findings:
            parts += [self.table().to_string(index=False)]
        parts += [f"note: {note}" for note in self.notes]
        parts += [f"MISSING {cure}" for cure in self.missing]
        return "\n".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Findings and notes in plain types."""
        return {"findings": [vars(line) for line in self.findings], "notes": self.notes}

    def require(self) -> None:
        """Raise DataError that names what is missing, if anything is."""
        if self.missing:
            # Directions of several lines begin with what they are for.
            brief = [cure.partition(":")[0] if "\n" in cure else cure for cure in self.missing]
            listed = "; ".join(brief)
            raise DataError(f"{self.root}: missing: {listed} (the survey says where to get it)")

    def open(self) -> DeepFashion:
        """The data set."""
        return DeepFashion(self.root, self.size)


def _open_pictures(found: Survey) -> Store | None:
    root = found.root
    if not lmdb_folders(root) and next(find_files(root), None) is None:
        found.missing.append(PICTURES.format(root=root, size=found.size))
        return None
    store = open_store(root, found.size)
    found.findings.append(
        Finding("pictures", len(store), EXPECTED["pictures"], str(store).replace(f"{root}/", ""))
    )
    found.notes += remarks_on_files(root, store)
    if isinstance(store, LmdbStore):
        if store.length != len(store):
            found.notes.append(f"{store}: 'length' says {store.length}, but it holds {len(store)}")
        if store.size != (found.size, found.size):
            found.notes.append(
                f"{store} is resized a second time, to {found.size}x{found.size}: not quite what "
                f"the paper's code sees; {found.size}-{found.size}/ or img_highres/ would be"
            )
    return store


def _read_annotations(found: Survey, split: Split) -> None:
    """Read the list and the pairs of a split, and compare them."""
    root = found.root
    files = pair_files(root, split)
    if not files:
        found.missing.append(PAIRS.format(root=root, split=split))
        return
    found.targets[split] = read_targets(files[0])
    pairs = found.pairs[split] = pairs_of(found.targets[split])
    if not pairs:
        found.missing.append(f"{split} pairs: {files[0]} lists none; copy it again")
    for other in files[1:]:
        if set(read_pairs(other)) != set(pairs):
            found.notes.append(f"{other.name} names other pairs than {files[0].name}, which counts")
    found.notes += remarks_on_pairs(split, pairs)
    paired = dict.fromkeys(name for pair in pairs for name in pair)
    listing = list_file(root, split)
    if listing is None:
        found.notes.append(LISTS.format(split=split))
    listed = list(paired) if listing is None else read_list(listing)
    unlisted = sorted(set(paired) - set(listed))
    if unlisted:
        found.notes.append(
            f"{len(unlisted)} pictures of the {split} pairs are not in {split}.lst and are added "
            f"to it: {some(unlisted)}"
        )
    found.pictures[split] = list(dict.fromkeys([*listed, *unlisted]))
    where = listing.name if listing else files[0].name
    for what, names, source in (
        (f"{split} pictures", listed, where),
        (f"{split} pairs", pairs, files[0].name),
    ):
        found.findings.append(Finding(what, len(names), EXPECTED[what], source))


def _leave_out(
    found: Survey, split: Split, names: set[str], what: str, there: Store | Keypoints
) -> None:
    """Take pictures that lack something out of the list; those that pairs need are missing.

    Where most lack it, their names are written otherwise `there`.
    """
    lacking = [name for name in found.pictures[split] if name in names]
    needed = sorted({name for pair in found.pairs[split] for name in pair} & names)
    if needed:
        most = 2 * len(lacking) > len(found.pictures[split])
        found.missing.append(
            f"{len(needed)} pictures in {split} pairs have no {what}: {some(needed)}"
            + (clue(needed[0], there) if most else "; copy them again or remove the pairs")
        )
    elif lacking:
        found.notes.append(
            f"{len(lacking)} {split} pictures have no {what} and are left out: {some(lacking)}"
        )
    found.pictures[split] = [name for name in found.pictures[split] if name not in names]


def _check_names(found: Survey, names: list[str]) -> None:
    """File names must be unique and unambiguous, since results are named after pairs of them."""
    own = [name for name in names if not NESTED.search(name)]
    for name in own:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            found.missing.append(f"a path below {found.root} for {name}: write it relative to that")
            return
        if "," in name or name != name.strip():
            found.missing.append(f"a name without commas and outer spaces for {name}: rename it")
            return
    known: dict[str, str] = {}
    for name in own:
        other = known.setdefault(mangle(name), name)
        if other != name:
            found.missing.append(f"different names for {other} and {name}: rename the files")
            return
    for name in own:
        if (mangle(name), mangle(name)) not in possible_pairs(result_name(name, name)):
            found.missing.append(f"a name with a single suffix for {name}: rename it")
            return


def _check_pictures(
    found: Survey, store: Store, keypoints: Keypoints | None, few_joints: FewJoints
) -> None:
    ordered = sorted(found.names)
    names = set(ordered)
    lost = {name for name in ordered if store.place(name) is None}
    posed = {name for name in ordered if keypoints is not None and name in keypoints}
    for split in found.pictures:
        _leave_out(found, split, lost, "picture file", store)
        if keypoints is not None:
            _leave_out(found, split, names - lost - posed, "key points", keypoints)
    _check_names(found, ordered)
    if keypoints is not None:
        where = str(keypoints).replace(f"{found.root}/", "")
        found.findings.append(Finding("key points", len(posed), EXPECTED["key points"], where))
    usable = [name for name in ordered if name in posed and name not in lost]
    if usable and keypoints is not None:
        found.findings.append(Finding("joints", len(JOINTS), EXPECTED["joints"]))
        _check_poses(found, {name: keypoints.read(name) for name in usable}, where, few_joints)


def _check_poses(
    found: Survey, poses: dict[str, np.ndarray], where: str, few_joints: FewJoints
) -> None:
    """Count pictures whose joints make no pose, and say if joints do not fit their pictures."""
    reasons = {name: why_no_pose(pose, POSE_FRAME) for name, pose in poses.items()}
    bad = {name for name, reason in reasons.items() if reason is not None}
    found.notes += set_remarks(np.stack(list(poses.values())))
    if not bad:
        return
    first = min(bad)
    pairs = {split: [pair for pair in found.pairs[split] if bad & {*pair}] for split in found.pairs}
    touched = ", ".join(f"{len(pairs[split])} {split} pairs" for split in pairs)
    what = (
        f"{len(bad)} of {len(poses)} pictures ({touched}) have no pose in {where}: "
        f"{some(sorted(bad))} ({first}: {reasons[first]})"
    )
    if len(bad) > MOST_POSELESS * len(poses):
        cure = "docs/reproduce/data.md says what is expected"
        found.missing.append(f"joints that make a pose: {what}; {cure}")
    elif few_joints == "stop":
        found.missing.append(f"poses of some pictures, and data.few_joints says stop: {what}")
    elif few_joints == "drop":
        _drop(found, bad)
        found.notes.append(f"{what}; they and their pairs are left out")
    else:
        found.notes.append(f"{what}; they are kept, unless data.few_joints says drop or stop")


def _drop(found: Survey, names: set[str]) -> None:
    for split, targets in found.targets.items():
        kept = [
            (target, tuple(source for source in sources if source not in names))
            for target, sources in targets
            if target not in names
        ]
        found.targets[split] = [(target, sources) for target, sources in kept if sources]
        found.pairs[split] = pairs_of(found.targets[split])
        found.pictures[split] = [name for name in found.pictures[split] if name not in names]
        if not found.pairs[split]:
            found.missing.append(f"{split} pairs: none is left without the pictures without a pose")


def survey(root: str | Path, size: int, few_joints: FewJoints = "keep") -> Survey:
    """Survey an existing data set, to be used for square pictures of `size` pixels.

    What does not exist is listed in `missing`, with where to get it. `few_joints` says what becomes
    of pictures without a pose; if most have none, that is missing. What exists but cannot be read
    raises DataError.
    """
    found = Survey(Path(root), size)
    if not found.root.is_dir():
        found.notes.append("there is no such folder")
    store = _open_pictures(found)
    for split in SPLITS:
        _read_annotations(found, split)
    found.notes += remarks_on_splits(found.pictures)
    size_of = store.size_of if store is not None else lambda name: (size, size)
    keypoints = open_keypoints(found.root, size_of)
    if keypoints is None:
        found.missing.append(KEYPOINTS.format(root=found.root))
    if store is not None:
        _check_pictures(found, store, keypoints, few_joints)
    _drop_expectations(found)
    _note_links(found)
    return found


def _note_links(found: Survey) -> None:
    """Note folders that are links: DVC does not see changes behind them."""
    places = sorted(found.root.glob("*"))
    if links := [path.name for path in places if path.is_symlink() and path.is_dir()]:
        found.notes.append(
            f"{', '.join(links)}: a symbolic link, and DVC does not notice changes behind it; link "
            f"{found.root} as a whole, or run `dvc repro --force prepare` after a change"
        )


def _drop_expectations(found: Survey) -> None:
    """Expect DeepFashion's counts only of pictures named like DeepFashion's."""
    if found.names and not any(NESTED.search(name) for name in found.names):
        found.findings = [replace(line, expected=None) for line in found.findings]
