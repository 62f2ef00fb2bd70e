"""Photos from anywhere, and key point files, as pictures and poses that the model takes.

`subjects.py` turns a file into a framed person, by `loading.py` (pictures), `joints.py` (key point
files, in the `formats.py` of many tools), `people.py` (detectors), `framing.py` (crops) and
`retarget.py` (another body's proportions). `sources.py` refuses what shows no person. `poses.py`
reads single poses as the pipeline takes them, `inputs.py` all of a call; `check.py` shows what a
pose is taken for; `marking.py` marks and writes pictures, `sheets.py` sets them side by side,
`tables.py` says which of many to draw. May import `data/` and `support/`. docs/use/photos.md
explains the steps.
"""
