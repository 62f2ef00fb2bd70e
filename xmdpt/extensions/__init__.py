"""Changes of the network that the paper does not have: each in its own file, off by default.

`context` lets every block see the source's tokens. May import the network, the settings and the
floor of `support`. docs/extend/context.md explains it, CONTRIBUTING.md how another one is added.
"""
