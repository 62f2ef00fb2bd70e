"""Executed notebooks as pages to read in a browser, which ask for nothing outside."""

import logging
from pathlib import Path

import nbformat
from markupsafe import Markup
from nbconvert import HTMLExporter

from xmdpt.stages.templates import template
from xmdpt.support.files import file_digest, fingerprint, resumable_dir


def notebook_page(path: Path) -> str:
    """An executed notebook as a page; its own pictures are inside."""
    exporter = HTMLExporter(template_name="basic")  # other templates load scripts from the web
    exporter.log.setLevel(logging.ERROR)  # else a line for each picture without a description
    body, _ = exporter.from_notebook_node(nbformat.read(path, as_version=4))
    return template("notebook.html.jinja").render(name=path.stem, body=Markup(body))


def write_pages(notebooks: Path, pages: Path) -> list[Path]:
    """Make the folder `pages` anew, with a page for each of the folder `notebooks`."""
    sources = sorted(notebooks.glob("[!.]*.ipynb"))
    key = fingerprint({path.name: file_digest(path) for path in sources})
    with resumable_dir(pages, key) as partial:
        for path in sources:
            (partial / f"{path.stem}.html").write_text(notebook_page(path), encoding="utf-8")
    return [pages / f"{path.stem}.html" for path in sources]
