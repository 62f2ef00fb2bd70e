"""The documents: links lead somewhere, generated pages say all, the site needs no network."""

import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import markdown
import nbformat
import pytest
import typer
import yaml
from helpers.browser import browse
from helpers.repository import NOTEBOOKS, ROOT

from xmdpt.cli import app
from xmdpt.config import Config
from xmdpt.stages.notebook import has_tag

sys.path.insert(0, str(ROOT / "docs/site"))
import colab
import hooks
import reference
import walkthroughs

TRACKED = subprocess.run(
    ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()
PAGES = [ROOT / name for name in TRACKED if name.endswith(".md")]
SOURCES = [
    ROOT / name
    for name in TRACKED
    if name.endswith((".md", ".py", ".ipynb", ".yaml", ".yml", ".jinja", "Makefile"))
]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]*)?\)")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub and the site give to a page's headings, and its own."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    heads = re.findall(r"^#+ +(.+)$", text, flags=re.M)
    made = {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}
    return made | set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page: Path):
    """As the repository shows them; `mkdocs build --strict` checks those of the site."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.S | re.M)
    for target, anchor in LINK.findall(text):
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), f"{target}: no such file"
        if anchor and place.suffix == ".md":
            assert anchor[1:] in anchors(place), f"{target}{anchor}: no such heading"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_documents_that_are_named_exist(path: Path):
    named = set(re.findall(r"\bdocs/[\w/-]+\.(?:md|py)\b", path.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_every_setting_says_what_it_is():
    def unexplained(kind: str):
        for name, field in schema["$defs"][kind]["properties"].items():
            inner = [one.get("$ref", "") for one in (field, *field.get("anyOf", []))]
            below = [ref.rpartition("/")[2] for ref in inner if ref]
            yield from unexplained(below[0]) if below else []
            if not below and not field.get("description"):
                yield f"{kind}.{name}"

    schema = Config.model_json_schema()
    kinds = [field["$ref"].rpartition("/")[2] for field in schema["properties"].values()
             if "$ref" in field]  # fmt: skip
    assert len(kinds) == 8 and [name for kind in kinds for name in unexplained(kind)] == []


def test_the_settings_page_has_ranges_and_both_profiles():
    page = reference.settings()
    [row] = [line for line in page.splitlines() if line.startswith("| `mask_ratio`")]
    assert "> 0, < 1" in row and row.count("0.3") == 2
    [row] = [line for line in page.splitlines() if line.startswith("| `rendered.views`")]
    assert row.endswith("| whole number ≥ 2, ≤ 64 | 4 | null |")


def test_the_command_line_page_has_every_command_with_an_example():
    page = reference.command_line()
    sections = re.split(r"^## ", page, flags=re.M)[1:]
    assert len(sections) >= 18 and {"xmdpt generate", "xmdpt study report"} <= {
        section.partition("\n")[0] for section in sections
    }
    assert [one.partition("\n")[0] for one in sections if "```bash\n" not in one] == []
    assert "| `--num <int range>` | How many to draw; the best is kept. | default: 1; " in page


def test_the_examples_of_every_help_are_understood():
    """By the parser: it knows the commands, their options and the kinds of their values."""
    root, called = typer.main.get_command(app), []
    listed = list(reference.commands(root, "xmdpt"))
    for name, command in listed:
        command.callback = lambda *given, name=name, **values: called.append(name)
    examples = [
        (name, shlex.split(part))
        for name, command in listed
        for example in reference.split_help(command.help)[1]
        for part in example.split("&&")
    ]
    examples = [(name, words) for name, words in examples if "xmdpt" in words]
    assert {name for name, _ in examples} == {name for name, _ in listed}
    for name, words in examples:
        called.clear()
        root.main(words[words.index("xmdpt") + 1 :], standalone_mode=False)
        assert called, f"{name}: {words}"


def test_the_experiments_of_the_page_change_something():
    page = (ROOT / "docs/extend/experiments.md").read_text(encoding="utf-8")
    set_there = re.findall(r"dvc exp run [^\n]*-S '?(\+?)([\w.]+)=([^\s']+)", page)
    assert len(set_there) >= 4
    settings = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for new, name, values in set_there:
        value = settings
        for part in name.split("."):
            value = value.get(part, {}) if isinstance(value, dict) else {}
        assert (value == {}) == bool(new), f"{name}: + is for keys that are not there"
        assert not new or name.split(".")[1] in settings["experiments"], name
        assert any(float(one) != value for one in values.split(",")), f"{name}: already so"


def test_help_breaks_no_line_in_a_terminal_of_80_columns():
    """So that an example can be copied; Typer joins the lines of the first paragraph only."""
    for name, command in reference.commands(typer.main.get_command(app), "xmdpt"):
        rest = inspect.cleandoc(command.help).partition("\n\n")[2]
        assert [line for line in rest.splitlines() if len(line) > 78] == [], name


def test_messages_are_listed_with_the_page_that_explains_them():
    listed = reference.messages()
    assert "* `` ‹path›: no such picture ``" in listed and "(use/photos.md)" in listed
    assert len(listed.splitlines()) > 150


@pytest.mark.parametrize("path", walkthroughs.NOTEBOOKS, ids=lambda path: path.stem)
def test_the_walkthroughs_are_shown_as_they_are_today(path: Path):
    written = walkthroughs.page_path(path).read_text(encoding="utf-8")
    assert walkthroughs.is_of_today(path) and written == walkthroughs.page(path), (
        "run: python docs/site/walkthroughs.py"
    )
    assert path in NOTEBOOKS and written.startswith("# ")
    assert "\n![" in written, "with pictures"
    printed = re.findall(r"^```text\n(.*?)^```", written, re.S | re.M)
    assert max(text.count("\n") for text in printed) <= 10, "what is printed stays short"


def test_the_notebook_for_colab_is_the_walkthrough_of_today():
    assert colab.FOR_COLAB.read_text() == colab.notebook(colab.address()), (
        "run: python docs/site/colab.py"
    )
    ours, theirs = (
        [cell.source for cell in nbformat.read(path, as_version=4).cells]
        for path in (colab.WALKTHROUGH, colab.FOR_COLAB)
    )
    assert [source for source in theirs if source not in ours] == theirs[1:3]
    install = nbformat.reads(colab.notebook("https://example.org/me/mine"), as_version=4).cells[2]
    said, _, pip = install.source.splitlines()
    assert said == 'REPOSITORY = "https://example.org/me/mine"'
    assert pip == '%pip install --quiet "xmdpt @ git+{REPOSITORY}"'


def test_solutions_are_folded_on_the_site_and_in_lab():
    for path in walkthroughs.NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        solutions = [cell for cell in cells if has_tag(cell, "solution")]
        [asked] = [cell for cell in cells if cell.id == "exercises"]
        assert 2 <= len(solutions) <= 3 and cells[-len(solutions) :] == solutions
        page = walkthroughs.page_path(path).read_text(encoding="utf-8")
        html = markdown.markdown(page, extensions=["md_in_html", "pymdownx.superfences"])
        inside = re.findall(r"<details.*?</details>", html, re.S)
        assert all('class="highlight"' in text and "```" not in text for text in inside)
        folded = re.findall(r"<summary>Solution of exercise (\d)</summary>", "\n".join(inside))
        assert [cell.id for cell in solutions] == [f"solution-{number}" for number in folded]
        assert all(f"\n{number}. " in asked.source for number in folded)
        assert all("assert " in cell.source for cell in solutions), "each is checked as it runs"


@pytest.mark.slow
def test_the_site_is_searched_without_a_network(tmp_path):
    site = tmp_path / "site"
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", site],
        cwd=ROOT, check=True,
    )  # fmt: skip
    with browse(tmp_path / "browser") as page:
        for domain in ("Page", "Network", "Log", "Runtime"):
            page.do(f"{domain}.enable")
        page.do("Page.navigate", url=(site / "use/photos.html").as_uri())
        page.wait("document.readyState == 'complete' && !!document.querySelector('.md-search')")
        page.value("document.querySelector('label[for=__search]').click()")
        page.wait("document.activeElement.matches('.md-search__input')")
        page.do("Input.insertText", text="guidance_scale")
        page.wait("document.querySelectorAll('.md-search-result__item').length > 2")
        assert page.problems == []
        assert [url for url in page.urls if not url.startswith(("file:", "data:"))] == []


def test_profiles_that_need_a_compiler_are_named_where_one_installs():
    needed = (ROOT / "docs/start.md").read_text("utf-8").partition("## The first")[0]
    for path in (ROOT / "profiles").glob("*.yaml"):
        compiled = yaml.safe_load(path.read_text("utf-8"))["train"]["compile"]
        assert not compiled or f"`{path.stem}`" in needed, path.stem


def test_a_walkthrough_that_does_not_exist_is_said():
    command = [sys.executable, "docs/site/walkthroughs.py", "03_network"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "03_network: no walkthrough" in done.stderr


def test_a_wide_equation_scrolls_and_not_the_page():
    made = hooks.on_page_content(r'<div class="arithmatex">\[y = x\]</div>', None, None, None)
    assert made.startswith('<div class="arithmatex"><math') and made.endswith("</math></div>")
