"""What the notebooks of `notebooks/walkthrough` and `notebooks/ablations` call.

`people.py` renders a few people and encodes them, `sampling.py` draws from condition vectors,
`studies.py` compares models that differ in one setting, `probing.py` says what vectors hold, and
`figures.py` draws the figures. No stage of the pipeline uses them. The room may import `paper`,
`training`, `weights` and everything below them. The notebooks are introduced in
docs/understand/notebooks.md.
"""
