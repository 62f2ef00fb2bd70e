"""The paper's tables and figures, with its printed numbers beside those of our runs.

The paper's numbers are in `published.py`. Tables 1 and 2 come from `scores.py` and `claims.py`,
figures from `figures.py`, `architecture.py`, `views.py` and `failures.py`, which take pictures from
`drawing.py` and `people.py`. `exhibits.py` writes what a notebook makes, and `reference.py` keeps
it in git. `origin.py` tells a model card what the weights of a run are. The room may import
`metrics`, `pipeline` and everything below them. When a claim counts as supported is explained in
docs/evaluate.md.
"""
