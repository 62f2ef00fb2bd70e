"""What a survey remarks on in lists and pairs that can be read, but may not be meant so."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xmdpt.data.annotations import Keypoints, Pair, Split
from xmdpt.data.fit import ANOTHER_COLOUR
from xmdpt.data.overlap import shared_names
from xmdpt.data.pairs import HEIC_SUFFIXES, MARKET, NESTED, item, nearest, outfit
from xmdpt.data.stores import Store, find_files


def some(names: Sequence[str], count: int = 3, separator: str = ", ") -> str:
    """The first `count` of some names, and how many more there are."""
    more = f"{separator}and {len(names) - count} more" if len(names) > count else ""
    return separator.join(names[:count]) + more


def _arrows(pairs: Sequence[Pair]) -> str:
    return some([f"{source} -> {target}" for source, target in pairs])


def remarks_on_pairs(split: Split, pairs: Sequence[Pair]) -> list[str]:
    """Pairs of a picture with itself, doubled ones, and those of other clothes or people."""
    doubled = [pair for pair, times in Counter(pairs).items() if times > 1]
    named = [pair for pair in pairs if all(_is_person(name) for name in pair)]
    changed = [pair for pair in named if outfit(pair[0]) != outfit(pair[1])]
    clothes = [pair for pair in changed if item(pair[0]) == item(pair[1])]
    people = [pair for pair in changed if item(pair[0]) != item(pair[1])]
    found = {
        "have the same picture as source and target": [pair for pair in pairs if len({*pair}) == 1],
        "stand there more than once": doubled,
        "show two people, as their names say": people,
        "show one person in two outfits, as their names say": clothes,
    }
    return [
        f"{len(some_pairs)} {split} pairs {what}: {_arrows(some_pairs)}"
        for what, some_pairs in found.items()
        if some_pairs
    ]


def _is_person(name: str) -> bool:
    """Whether a name says who is shown, as DeepFashion's and Market-1501's do."""
    return bool(NESTED.search(name) or MARKET.match(Path(name).name))


def remarks_on_splits(pictures: Mapping[Split, list[str]]) -> list[str]:
    """Pictures and people on both sides of the split.

    Without names that say who is shown, a folder is a person, unless all pictures lie in one.
    """
    if len(pictures) < 2 or not all(pictures.values()):
        return []
    shared = shared_names(pictures["train"], pictures["test"])
    notes = []
    same, count = shared["pictures"]
    if same:
        notes.append(
            f"{len(same)} of {count} test pictures are training pictures too: {some(same)}"
        )
    people, count = shared["items"]
    names = [name for split in pictures.values() for name in split]
    one_folder = len({item(name) for name in names}) == 1 and not _is_person(names[0])
    if people and not one_folder:
        other = " in other clothes" * (not shared["outfits"][0])
        notes.append(
            f"{len(people)} of {count} test people are in the training set too{other}: "
            f"{some(people)}"
        )
    return notes


def remarks_on_copies(overlap: Mapping[str, Any]) -> list[str]:
    """Pictures that are nearly the same under two names, in the words of an `overlap_report`."""
    notes = []
    for split, near in overlap["near_pairs"].items():
        if pairs := [(first, second) for first, second, _ in near if first != second]:
            notes.append(
                f"{len(pairs)} {split} pairs have nearly the same picture as source and target: "
                f"{_arrows(pairs)}"
            )
    across = [(first, second) for first, second, _ in overlap["near_across"] if first != second]
    if across:
        test = {second for _, second in across}
        notes.append(
            f"{len(test)} test pictures are nearly the same as training pictures of other names: "
            f"{some([f'{second} and {first}' for first, second in across])}"
        )
    return notes


def remarks_on_clothes(
    split: Split, pairs: Sequence[Pair], colours: Mapping[str, np.ndarray | None]
) -> list[str]:
    """Pairs whose upper bodies differ in colour; `colours` are those of `xmdpt.data.fit`."""

    def differ(pair: Pair) -> bool:
        first, second = (colours[name] for name in pair)
        if first is None or second is None:
            return False
        return bool(np.linalg.norm(first - second) > ANOTHER_COLOUR)

    changed = [pair for pair in pairs if differ(pair)]
    if not changed:
        return []
    return [
        f"{len(changed)} of {len(pairs)} {split} pairs show upper bodies of very different colours "
        f"(other clothes, or joints beside the person?): {_arrows(changed)}"
    ]


def remarks_on_files(root: Path, store: Store) -> list[str]:
    """Files that count for one picture, and files of a format that is not read."""
    notes = []
    if doubles := store.doubles():
        listed = some([f"{first} and {second}" for first, second in doubles])
        notes.append(
            f"{len(store.names())} picture files have {len(store)} names; of one name are: {listed}"
        )
    if heic := list(find_files(root, HEIC_SUFFIXES)):
        notes.append(f"{len(heic)} HEIC files are not read: {some(heic)}; save them as JPEG")
    return notes


def clue(name: str, there: Store | Keypoints) -> str:
    """What is there beside what was wanted, for names that do not meet."""
    close = nearest(name, there.names())
    return f"; {name} was wanted, and the closest name there is {close}" if close else ""
