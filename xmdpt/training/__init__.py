"""Training: from cached features to checkpoints, and from pictures to an autoencoder.

`train` holds the steps (Section 3.3 of the paper), `run` a whole run with its checkpoints, `vae`
the autoencoder, `pretrain` the small weights that ship. `device`, `ema` and `errors` serve both
trainers; `invariance` watches the condition vector along the way, `fixed` the loss on the same test
pairs and noise. Beyond the paper: `alignment` (a loss on early tokens) and `equivariance` (of the
autoencoder). May import `metrics`, `pipeline` and the floors below. Explained in
docs/experiments.md and docs/recipe.md.
"""
