"""Write the tables and figures of docs/results/speed.md from the timings in benchmarks/: seconds.

python docs/site/speed.py
"""

import json
import re
from pathlib import Path

from matplotlib.figure import Figure

from xmdpt.costs.growth import growth_figure, growth_table
from xmdpt.costs.savings_table import said_of, savings_figure, savings_table
from xmdpt.costs.whole import pictures_table, said_of_pictures

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/results/speed.md"
PICTURES = ROOT / "docs/pictures"
BLOCK = re.compile(r"(<!-- (\S+\.json) -->\n).*?(<!-- end -->)", re.DOTALL)


def shown(kept: dict) -> tuple[str, Figure | None]:
    """What a file of `xmdpt bench` holds, as Markdown and, but for whole pictures, as a figure."""
    if "pictures" in kept.get("settings", {}):
        table, figure, said = pictures_table(kept), None, said_of_pictures(kept)
    elif "ways" in kept:
        table, figure, said = savings_table(kept), savings_figure(kept), said_of(kept)
    else:
        table, figure = growth_table(kept), growth_figure(kept)
        said = said_of(kept["tokens"][0], grows=True)
    return f"{table.to_markdown(disable_numparse=True)}\n\n{said}\n", figure


def written(page: str) -> str:
    """The page with each block between `<!-- FILE.json -->` and `<!-- end -->` as the file says."""

    def block(found: re.Match[str]) -> str:
        kept = json.loads((ROOT / "benchmarks" / found[2]).read_text())
        return found[1] + shown(kept)[0] + found[3]

    return BLOCK.sub(block, page)


def main() -> None:
    page = PAGE.read_text()
    PAGE.write_text(written(page))
    for _, name, _ in BLOCK.findall(page):
        kept = json.loads((ROOT / "benchmarks" / name).read_text())
        if (figure := shown(kept)[1]) is not None:
            figure.savefig(PICTURES / f"{Path(name).stem[len('2026-01-01_') :]}.png", dpi=150)


if __name__ == "__main__":
    main()
