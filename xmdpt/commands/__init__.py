"""The commands of `xmdpt`, one thin function each; `cli.py` puts them together.

`runs.py` works on this repository (settings, notebooks, the report page), `measure.py` judges
(data sets, methods' pictures, costs), `draw.py` makes pictures and packs weights, `options.py` has
what several share. A function checks its arguments, imports what it needs when it is called, and
leaves the work to the rooms below, all of which it may import; docs/architecture.md shows them.
"""
