"""What mkdocs does beyond its pages: files of the repository and generated pages join the site.

Every page that is not written in docs/ is made here, from what it is about, each time the site is
built: kept runs, cards and the changelog from their own files, the reference from the parser, the
settings and the docstrings (`reference.py`).
"""

import posixpath
import re
from pathlib import Path

import latex2mathml.converter
import reference
from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "extend/contributing.md",
    "data/pretrained/xmdpt-synthetic/README.md": "cards/model.md",
    **{
        path.relative_to(ROOT).as_posix(): f"results/kept/{path.parent.name}.md"
        for path in sorted((ROOT / "reports/reference").glob("*/README.md"))
    },
}
"""Files of the repository -> the pages that they are in the site."""
GENERATED = {
    "reference/command-line.md": reference.command_line,
    "reference/settings.md": reference.settings,
    "reference/library.md": reference.library,
}
MESSAGES = "<!-- every message -->"
LINK = re.compile(
    r"^```.*?^```|`[^`\n]*`"  # code, where nothing is a link
    r"|(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|mailto:|#)([^)#\s]*)(#[^)\s]*)?\)",
    re.DOTALL | re.MULTILINE,
)
EQUATION = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def _in_site(path: str) -> str | None:
    """Where a file of the repository is in the site; None where it is not."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path.startswith("reports/reference/"):
        return path.replace("reports/reference/", "results/kept/", 1)
    return None


def _links(text: str, source: str, page: str) -> str:
    """Links of a file of the repository, as a page of the site has to say them."""

    def mend(link: re.Match[str]) -> str:
        if link[3] is None:
            return link[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[3]))
        place = _in_site(target)
        if place is None:  # it lies in the repository, but not in the site
            return link[2]
        way = posixpath.relpath(place, posixpath.dirname(page))
        return f"{link[1]}[{link[2]}]({way}{link[4] or ''})"

    return LINK.sub(mend, text)


def on_files(files, config):
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_links(text, source, page)))
    for page, make in GENERATED.items():
        files.append(File.generated(config, page, content=make()))
    for picture in sorted((ROOT / "reports/reference").glob("*/*")):
        if picture.suffix not in (".jpg", ".png"):
            continue
        place = _in_site(picture.relative_to(ROOT).as_posix())
        files.append(File.generated(config, place, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown, page, config, files):
    if page.file.generated_by is not None:
        return markdown
    text = _links(markdown, f"docs/{page.file.src_uri}", page.file.src_uri)
    return text.replace(MESSAGES, reference.messages()) if MESSAGES in text else text


def on_page_content(html, page, config, files):
    """Equations as MathML, which browsers set themselves; a wide one scrolls in its `div`."""

    def mathml(equation: re.Match[str]) -> str:
        source = equation[2].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        display = "block" if equation[1] == "div" else "inline"
        made = latex2mathml.converter.convert(source, display=display)
        return made if display == "inline" else f'<div class="arithmatex">{made}</div>'

    return EQUATION.sub(mathml, html)
