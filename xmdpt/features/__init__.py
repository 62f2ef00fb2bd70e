"""The frozen networks that the model is conditioned on, and their stored outputs.

`encoders.py` holds the token encoders (DINOv2, timm, and EfficientNet-Lite0 offline), `make.py`
runs them and the VAE over every picture and its mirror image, `sizes.py` says what that takes on a
disk, `rows.py` finds the features of a run, and `cache.py` reads them and composes training
batches. May import `data/`, `support/` and modules at the root below them.
docs/reproduce/features.md explains the choices of encoders, the files and their sizes.
"""
