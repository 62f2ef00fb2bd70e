"""Weights in and out: loaded for drawing, exported for others, converted from the authors'.

`load` opens a pipeline folder or the small bundled weights, `runs` a trained run's checkpoint,
with which it also draws all test pairs. `export` writes folders that need no xmdpt, `convert`
reads and writes the authors' files, `released` puts them in place of trainings. May import
`pipeline` and the floors below. Explained in docs/use/pipeline.md and
docs/reproduce/deepfashion.md.
"""
