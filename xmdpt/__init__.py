"""X-MDPT: cross-view masked diffusion transformers for person image synthesis."""
