"""Training: from cached features to checkpoints, and from pictures to an autoencoder.

`train` holds the steps (Section 3.3 of the paper), `run` a whole run with its checkpoints, `vae`
the autoencoder, `pretrain` the small bundled weights, `released` takes published ones instead.
`run_stage` and `vae_stage` train for the graph, in several `processes` if asked; `device`, `ema`,
`states` and `errors` serve both trainers, and `watch` ends processes together. `invariance` watches
the condition vector along the way, `fixed` the loss on the same test pairs and noise. Beyond the
paper: `alignment` (a loss on early tokens), `equivariance` (of the autoencoder), `muon` (an
optimizer), `timesteps` (of few steps) and `turbo` (a network for fewer). May import `metrics`,
`pipeline` and the floors below. Explained in docs/reproduce/reliability.md and
docs/results/recipe.md.
"""
