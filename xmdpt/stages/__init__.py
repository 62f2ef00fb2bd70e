"""Running the graph's notebooks, and what is looked at afterwards.

`notebook.py` executes a notebook as a stage, `profiles.py` puts settings in place, `tracking.py`
logs to W&B, `report.py` and `pages.py` make the page to read, `info.py` says what is at hand. The
room may import from everything below: `paper`, `evaluation`, `weights` and what they stand on.
docs/architecture.md has the files that stages write, docs/experiments.md how runs are set.
"""

import sys

# JupyterLab brings a grammar of internet addresses that jsonschema, and so nbformat, would spend
# two seconds on at each start. Notebooks hold no addresses to check, and jsonschema does without.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
