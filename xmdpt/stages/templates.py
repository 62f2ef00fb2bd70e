"""The templates of this room's pages."""

from pathlib import Path

import jinja2


def template(name: str) -> jinja2.Template:
    """A template that escapes what it is given, and fails for what it is not given."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(name)
