"""Trying the model by hand: choose a person, drag a pose, draw.

`page.py` is the page of `xmdpt demo` and its server, `editor.py` and `editor.js` the pose editor;
`poses.py` has the poses to start from, kept in `poses.json`; `space.py` writes a Space, of which
`space_app.py` is the page; `sliders.py` is the small version for a notebook. The room may import
everything but the command line, and nothing imports it at start-up: Gradio is an extra. The page is
described in docs/use/photos.md, a Space in docs/use/elsewhere.md.
"""
