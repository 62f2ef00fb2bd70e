"""Rendered people: data sets in DeepFashion's layout without a single photograph.

`looks.py` draws who people are and how they pose, `bodies.py` shapes and poses their bodies,
`wardrobe.py` cuts clothes, hair and skin, `studio.py` dresses and photographs them, and
`dataset.py` renders a person or a whole data set. May import `data/` and `support/`; Anny and
Mitsuba are imported only to render. docs/reproduce/data.md and docs/understand/architecture.md
describe the files.
"""
