"""Keep a finished run for readers: exhibits as a page that GitHub shows, and the table of results.

    python -m xmdpt.paper.reference --note "31 minutes on two cores of an Intel Xeon"

writes `reports/reference/<profile>/` from reports/exhibits/, and the part of docs/results/index.md
between its two marks from all runs that are kept.
"""

import argparse
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, get_args

from PIL import Image

from xmdpt.config import ConfigError, load_config
from xmdpt.paper.exhibits import EXHIBITS, HOW_TO_READ, Status, exhibit_folder, read_exhibits
from xmdpt.support.files import atomic_path, fingerprint, read_json, resumable_dir

FOLDER = "reports/reference"
RESULTS = Path("docs/results/index.md")
UP = "../../"
"""From that page to the root."""
BEGIN = "<!-- what is reproduced: python -m xmdpt.paper.reference -->"
END = "<!-- end of what is reproduced -->"
WIDEST = 1400  # pixels
SCORES_KEPT = (
    "The numbers (of a run `scores_RUN.json`, of its single pairs `scores_RUN.tsv`, along its "
    "training `train_RUN.tsv`)"
)


def _slug(exhibit: dict[str, Any]) -> str:
    return str(exhibit["name"]).replace("_", "-")


def _cell(profile: str, exhibit: dict[str, Any] | None) -> str:
    """What a kept run says about the claims that it decides; empty where it lacks the exhibit."""
    if exhibit is None:
        return ""
    counts = Counter(one["status"] for one in exhibit["claims"] if one.get("live") is None)
    said = ", ".join(f"{counts[status]} {status}" for status in get_args(Status) if counts[status])
    return f"[{said or 'shown'}]({UP}{FOLDER}/{profile}/README.md#{_slug(exhibit)})"


def kept_table(kept: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """The table of results: an exhibit a line, a kept run (profile -> its exhibits) a column."""
    runs = {profile: {one["name"]: one for one in kept[profile]} for profile in sorted(kept)}
    titles = {one["name"]: one["title"] for exhibits in runs.values() for one in exhibits.values()}
    heads = [f"`{profile}`" for profile in runs]
    lines = [_line(["of the paper", *heads]), "|---" * (1 + len(heads)) + "|"]
    for name in (name for name in EXHIBITS if name in titles):
        cells = [_cell(profile, exhibits.get(name)) for profile, exhibits in runs.items()]
        lines.append(_line([titles[name], *cells]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def read_kept(root: str | Path = ".") -> dict[str, list[dict[str, Any]]]:
    """Profile -> exhibits of each run that is kept below `root`."""
    records = (Path(root) / FOLDER).glob("[!.]*/exhibits.json")  # hidden ones are unfinished
    cure = "`git checkout` brings it back"
    return {path.parent.name: read_json(path, cure) for path in records}


def put_between(page: Path, begin: str, end: str, made: str) -> None:
    """Put what was made between two lines of a page; raises ValueError where they are not there."""
    text = page.read_text(encoding="utf-8")
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{page}: needs the line {begin!r}, and then {end!r}, once each")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    with atomic_path(page) as partial:
        partial.write_text(f"{before}{begin}\n{made}\n{end}{after}", encoding="utf-8")


def update_results(page: Path, kept: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    """Put the table between the marks of a page; raises ValueError where they are not there."""
    put_between(page, BEGIN, END, kept_table(kept))


def _claim_line(claim: Mapping[str, Any], slug: str) -> str:
    """A line of the table of claims; a verdict of the study may have changed since the run."""
    verdict, evidence = claim["status"], claim["evidence"]
    if claim.get("live") is not None:
        verdict, evidence = "[the study](../study/README.md)", claim["live"]
    return f"\n| [{claim['text']}](#{slug}) | {verdict} | {evidence} |"


def _page(root: Path, exhibits: list[dict[str, Any]], about: dict[str, Any], scored: bool) -> str:
    parts = [
        "# The paper's tables and figures, as one run made them",
        f"Profile `{about['profile']}`, seed {about['seed']}. {about['note']}",
        "| claim | verdict | evidence |\n|---|---|---|",
    ]
    for exhibit in exhibits:
        parts[-1] += "".join(map(_claim_line, exhibit["claims"], repeat(_slug(exhibit))))
    kept = SCORES_KEPT if scored else "The tables' numbers"
    parts += [HOW_TO_READ, f"{kept} are in `{FOLDER}/{about['profile']}/`."]
    for exhibit in exhibits:
        parts += [f'<a id="{_slug(exhibit)}"></a>\n\n## {exhibit["title"]}', exhibit["caption"]]
        folder = exhibit_folder(exhibit["name"], root)
        parts += [
            (folder / f"{name}.md").read_text(encoding="utf-8").strip()
            for name in exhibit["tables"]
        ]
        parts += [f"![{exhibit['title']}]({name}.jpg)" for name in exhibit["figures"]]
        parts.append(f"*{exhibit['provenance']}*")
    return "\n\n".join(parts) + "\n"


def _copy_scores(reports: Path, runs: Sequence[str], folder: Path) -> None:
    """Keep the numbers behind the exhibits: of runs, of their pairs, along their training."""
    for run in runs:
        scores, history = reports / f"scores/{run}.json", reports / f"metrics/train_{run}.tsv"
        if not scores.is_file():
            continue
        shutil.copy(scores, folder / f"scores_{run}.json")
        shutil.copy(scores.with_suffix(".tsv"), folder / f"scores_{run}.tsv")
        shutil.copy(history, folder)


def keep_reference(root: str | Path, note: str, names: Sequence[str] = EXHIBITS) -> Path:
    """Write `root`/reports/reference/<profile> anew from a finished run, and return its page.

    `note` says on what machine and how long; `names` are the exhibits that it holds, all where the
    run carried out the whole graph. Raises ConfigError where one of them is missing.
    """
    root = Path(root)
    reports, config = root / "reports", load_config(root / "params.yaml")
    exhibits = [one for one in read_exhibits(root) if one["name"] in names]
    absent = [name for name in names if name not in {one["name"] for one in exhibits}]
    if absent:
        raise ConfigError(f"reports/exhibits: {', '.join(absent)} not made yet; run `make repro`")
    folder = root / FOLDER / config.profile
    about = {"profile": config.profile, "seed": config.seed, "note": note}
    with resumable_dir(folder, fingerprint(about, exhibits)) as partial:
        for exhibit in exhibits:
            made = exhibit_folder(exhibit["name"], root)
            for name in exhibit["tables"]:
                shutil.copy(made / f"{name}.csv", partial)
            for name in exhibit["figures"]:
                picture = Image.open(made / f"{name}.png").convert("RGB")
                picture.thumbnail((WIDEST, 100 * WIDEST))
                picture.save(partial / f"{name}.jpg", quality=85)
        _copy_scores(reports, config.runs, partial)
        (partial / "exhibits.json").write_text(
            json.dumps(exhibits, indent=1) + "\n", encoding="utf-8"
        )
        (partial / "README.md").write_text(
            _page(root, exhibits, about, any(partial.glob("scores_*.json"))),
            encoding="utf-8",
        )
        shutil.copy(root / "params.yaml", partial)
    return folder / "README.md"


def check_made(names: Sequence[str]) -> None:
    """Raise ConfigError where exhibits in the working folder are of other settings or code."""
    from dvc.repo import Repo

    folders = {exhibit_folder(name).as_posix() for name in names}
    with Repo() as repo:
        stages = {out.stage.addressing for out in repo.index.outs if out.def_path in folders}
        stale = " ".join(sorted(repo.status(targets=sorted(stages))))
    if stale:
        raise ConfigError(
            f"{stale}: not made with these settings; `dvc repro {stale}` makes it again"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--note", required=True, help="the machine, and how long it took")
    parser.add_argument(
        "--exhibits", nargs="+", choices=EXHIBITS, metavar="NAME", default=EXHIBITS,
        help="of a run that carried out a part of the graph, such as table_2a; else all",
    )  # fmt: skip
    arguments = parser.parse_args()
    try:
        check_made(arguments.exhibits)
        print(f"wrote {keep_reference('.', arguments.note, arguments.exhibits)}")
        update_results(RESULTS, read_kept())
    except (ConfigError, ValueError) as error:
        raise SystemExit(f"error: {error}") from None
