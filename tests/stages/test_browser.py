"""The page as browsers show it: desk, phone, dark and paper; by mouse and by keys."""

import json
from importlib.resources import files
from pathlib import Path

import pytest
from helpers.browser import Browser, browse
from helpers.finished import PAIRS, finished

from xmdpt.stages.bundle import write_bundle
from xmdpt.stages.report import write_report

pytestmark = pytest.mark.slow
WIDE = "e.getBoundingClientRect().right > innerWidth && !e.closest('.wide')"
AXE = "axe.run().then(found => JSON.stringify(found.violations.map(v => [v.impact, v.id, v.help])))"
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the page of two runs, and the bundle of it."""
    folder = finished(tmp_path_factory.mktemp("made"), ["base_b", "no_mask"]).resolve()
    write_report(folder)
    write_bundle(folder / "bundle.html", {}, folder)
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browse(tmp_path_factory.mktemp("browser") / "profile") as running:
        for domain in ("Page", "Network", "Runtime", "Log"):
            running.do(f"{domain}.enable")
        yield running
    assert running.problems == []
    assert {url.split(":")[0] for url in running.urls} == {"file", "data"}


def look(browser: Browser, page: Path, width: int = 1280, scheme: str = "light") -> None:
    """Open a page on a screen of this width, and unfold all of it."""
    browser.do(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=844, deviceScaleFactor=1, mobile=width < 600,
    )  # fmt: skip
    wanted = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.do("Emulation.setEmulatedMedia", features=wanted)
    browser.do("Page.navigate", url=page.as_uri())
    browser.wait(f"location.href == '{page.as_uri()}' && document.readyState == 'complete'")
    browser.value("document.querySelectorAll('details').forEach(one => { one.open = true; })")


def judge(browser: Browser) -> list[list[str]]:
    """What axe-core finds on the page: (impact, rule, in words)."""
    browser.value((files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8") + "; 0")
    found = browser.do(
        "Runtime.evaluate", expression=AXE, awaitPromise=True, returnByValue=True
    )  # fmt: skip
    return json.loads(found["result"]["value"])


@pytest.mark.parametrize("width", [1280, 390], ids=["desk", "phone"])
def test_every_page_fits_and_leads_somewhere(made, browser, width):
    """Every picture shows, every link leads somewhere, nothing is wider than the screen."""
    pages = sorted((made / "reports/pages").glob("*.html"))
    for page in (made / "reports/index.html", made / "bundle.html", *pages):
        look(browser, page, width)
        assert browser.value("[...document.images].every(image => image.naturalWidth > 0)")
        assert browser.value("document.images.length") > 0
        wide = f"[...document.querySelectorAll('body *')].filter(e => {WIDE})"
        assert browser.value(f"{wide}.map(e => e.outerHTML.slice(0, 100))") == []
        assert browser.value("document.documentElement.scrollWidth") <= width
        inside = "[...document.links].filter(l => l.pathname == location.pathname && l.hash)"
        lost = f"{inside}.map(l => decodeURIComponent(l.hash.slice(1)))"
        assert browser.value(f"{lost}.filter(id => !document.getElementById(id))") == []
        linked = browser.value("[...document.links].map(link => link.pathname)")
        assert linked and [path for path in linked if not Path(path).is_file()] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["desk", "phone"])
def test_nothing_keeps_anybody_out(made, browser, width, scheme):
    for page in ("reports/index.html", "bundle.html"):
        look(browser, made / page, width, scheme)
        assert browser.value("matchMedia('(prefers-color-scheme: dark)').matches") == (
            scheme == "dark"
        )
        assert [one for one in judge(browser) if one[0] in SERIOUS] == []


def test_the_dark_page_is_dark(made, browser):
    brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    for scheme, (low, high) in {"light": (200, 255), "dark": (0, 60)}.items():
        look(browser, made / "reports/index.html", scheme=scheme)
        assert all(low <= value <= high for value in browser.value(brightness))


def test_curves_are_filtered_and_zoomed(made, browser):
    look(browser, made / "reports/index.html")
    assert browser.value("charts[0].drawn.map(place => charts[0].runs[place].name)") == [
        "base_b",
        "no_mask",
    ]
    browser.value("document.querySelectorAll('.curves input')[0].click()")
    assert browser.value("charts[0].drawn.map(place => charts[0].runs[place].name)") == ["no_mask"]
    browser.value("document.querySelectorAll('.curves input')[0].click()")
    span = "[charts[0].plot.scales.x.min, charts[0].plot.scales.x.max]"
    assert browser.value(span) == [10, 100]
    browser.value("document.querySelector('.chart').scrollIntoView({block: 'center'})")
    over = "JSON.stringify(document.querySelector('.u-over').getBoundingClientRect())"
    place = json.loads(browser.value(over))
    y = place["y"] + place["height"] / 2
    for kind, share in (("mousePressed", 0.25), ("mouseMoved", 0.5), ("mouseReleased", 0.5)):
        browser.mouse(kind, place["x"] + share * place["width"], y)
    browser.wait("charts[0].plot.scales.x.max < 100")
    assert browser.value(span) == pytest.approx([32.5, 55], abs=1.5)
    browser.value("[...document.querySelectorAll('.curves button')][2].click()")  # the whole
    browser.wait("charts[0].plot.scales.x.max == 100")


def test_another_quantity_is_another_curve(made, browser):
    look(browser, made / "reports/index.html")
    first = browser.value("charts[0].plot.data[1]")
    browser.value(
        "const list = document.querySelector('.curves select');"
        "list.selectedIndex = 1; list.dispatchEvent(new Event('change'))"
    )
    second = browser.value("charts[0].plot.data[1]")
    assert second == pytest.approx([0.9 * value for value in first], rel=1e-5)
    assert "squared error" in browser.value("document.querySelector('.chart').ariaLabel")


def test_pictures_are_compared_by_keys_alone(made, browser):
    look(browser, made / "reports/index.html")
    seen = "document.querySelector('.both').style.getPropertyValue('--seen')"
    assert browser.value(seen) == "50%"
    browser.value("document.querySelector('.compare input').focus()")
    browser.key("ArrowRight")
    assert browser.value(seen) == "51%"
    shown = "[...document.querySelectorAll('.both img')].map(image => image.alt)"
    assert browser.value(shown) == ["truth, pair 1", "X-MDPT-B, pair 1"]
    browser.value("[...document.querySelectorAll('.compare button')].at(-1).click()")
    assert browser.value(shown) == ["truth, pair 2", "X-MDPT-B, pair 2"]
    count = browser.value("document.querySelector('.compare output').textContent")
    assert count == f"2 of {PAIRS}"


def test_on_paper_all_is_unfolded_and_nothing_needs_a_hand(made, browser):
    look(browser, made / "reports/index.html", scheme="dark")
    browser.value("document.querySelectorAll('details').forEach(one => { one.open = false; })")
    browser.value("dispatchEvent(new Event('beforeprint'))")
    browser.do("Emulation.setEmulatedMedia", media="print")
    assert browser.value("document.querySelectorAll('details.run:not([open])').length") == 0
    hidden = "['nav', '.compare', '.curves button'].map(name => document.querySelector(name))"
    assert browser.value(f"{hidden}.every(one => one.offsetParent === null)")
    assert browser.value("charts[0].plot.axes[0].stroke()") == "#333", "ink, for white paper"
    browser.do("Emulation.setEmulatedMedia", media="")
    assert browser.do("Page.printToPDF")["data"], "which announces itself once more"
    assert browser.value("document.querySelectorAll('details.run[open]').length") == 0


def test_a_logarithmic_axis_ends_near_its_values(made, browser):
    look(browser, made / "reports/index.html")
    assert browser.value("roomOf(null, 0.38, 2.11)") == pytest.approx([0.3, 3])
