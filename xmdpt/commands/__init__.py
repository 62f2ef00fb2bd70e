"""The commands of `xmdpt`, one thin function each; `cli.py` puts them together.

`runs.py` works on this repository (settings, notebooks, training), `stage.py` does a machine's
share of a stage, `report.py` makes the page of a run and its W&B report, `measure.py` checks data
sets and scores pictures, `bench.py` times networks and steps, `study.py` carries out the study,
`check.py` shows what a pose is taken for, `generate.py` draws, `distill.py` makes weights fast,
`draw.py` opens the demo, converts and exports, `options.py` has what several share, `answers.py`
prints what they answer, in words or in JSON. A function checks its arguments, imports what it needs
when it is called, and leaves the work to the rooms below. May import all of them;
docs/understand/architecture.md shows them.
"""
