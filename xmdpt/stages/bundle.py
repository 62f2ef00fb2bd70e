"""The report page as one file that can be mailed."""

from collections.abc import Mapping
from pathlib import Path

from xmdpt.config import load_config
from xmdpt.stages.pictures import PAGE, Fit
from xmdpt.stages.report import SETTINGS, Page, render
from xmdpt.support.arguments import BadInput
from xmdpt.support.files import atomic_path

LIMIT = 20_000_000
"""Bytes that a bundle stays below: what most mail servers take."""
FITS = (
    PAGE,
    Fit(kept=60_000, widest=1200, quality=80),
    Fit(kept=20_000, widest=900, quality=70),
    Fit(kept=8_000, widest=640, quality=60),
    Fit(kept=4_000, widest=400, quality=50),
)
"""What is tried, from the page's own pictures down."""


def write_bundle(
    out: Path, verdicts: Mapping[str, Mapping[str, str]], root: str | Path = ".", limit: int = LIMIT
) -> tuple[int, Fit]:
    """Write the page for the results below `root` to `out`, without links to files beside it.

    Returns its size in bytes and how large its pictures may be: the first of `FITS` that stays
    below `limit`. Raises BadInput where none does, and ConfigError where the settings cannot be
    used.
    """
    config = load_config(Path(root) / SETTINGS)
    for fit in FITS:
        page = Page(alone=True, fit=fit, verdicts=verdicts)
        content = render(Path(root), config, page).encode()
        if len(content) < limit:
            with atomic_path(out) as partial:
                partial.write_bytes(content)
            return len(content), fit
    raise BadInput(
        f"{out}: {len(content) / 1e6:.1f} MB even with small pictures, wanted less than "
        f"{limit / 1e6:g} MB; send the folder reports/ as an archive instead"
    )
