"""Running the graph's notebooks, and reporting on them.

`notebook.py` executes a notebook as a stage in the kernel of `kernel.py`, `kept.py` clears up what
DVC has recorded, `profiles.py` activates settings, `tracking.py` logs
to W&B, which `account.py` finds or does without, `lineage.py` what a stage was given and what it
made, `exhibit_log.py` logs what the paper's notebooks
made, and `sync.py` sends later what was logged offline. `report.py` makes the report
page with `curves.py`, `pictures.py`, `origin.py` and, of executed notebooks, `pages.py`;
`bundle.py` makes it one file to mail. `wandb_report.py` builds and `publish.py` writes and sends a
W&B report; `templates.py` opens the templates of both. `uplot/` draws the page's curves.
`info.py` says what is here and what is missing, `graph.py` what DVC says of the graph. `ahead.py`
makes several runs at a time and `exhibits.py` several exhibits, `alone.py` makes one run outside
the graph, `shards.py` does one machine's share of a stage. May import `paper`, `training`,
`evaluation`, `weights` and the floors below. docs/understand/architecture.md has the files that
stages write, docs/extend/experiments.md how runs are configured, docs/reproduce/wandb.md what W&B
shows of them.
"""

import sys

# JupyterLab brings a grammar of internet addresses that jsonschema, and so nbformat, would spend
# two seconds on at each start. Notebooks hold no addresses to check, and jsonschema does without.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
