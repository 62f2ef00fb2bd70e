"""Photos from anywhere, and key point files, as pictures and poses that the model takes.

`subjects.py` turns a file into a framed person, by `loading.py` (pictures), `joints.py` (key point
files), `people.py` (detectors), `framing.py` (crops) and `retarget.py` (another body's
proportions). `sources.py` refuses what shows no person. `poses.py` reads what the pipeline is
given; `marking.py` marks and writes pictures.
May import `data/` and `support/`. docs/photos.md explains the steps.
"""
