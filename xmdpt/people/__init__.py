"""Rendered people: data sets in DeepFashion's layout without a single photograph.

`looks.py` draws who people are, `variety.py` what they wear in the wide world, `worlds.py` the
wall and the light that they stand in, and `views.py` how they pose and are framed. `bodies.py`
shapes and poses their bodies; `wardrobe.py` cuts clothes, hair and skin, `prints.py` colours the
cloth, `solids.py` adds knots of hair and brims, and `dresser.py` puts all of it on. `surfaces.py`
paints walls and floors, `backdrop.py` lights them, `cameras.py` frames the person, `studio.py`
takes the picture, and `dataset.py` renders a person or a whole data set. May import `data/` and
`support/`; Anny and Mitsuba are imported only to render. docs/reproduce/data.md and
docs/understand/architecture.md describe the files.
"""
