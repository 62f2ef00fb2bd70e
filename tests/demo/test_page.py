"""The page of `xmdpt demo`, by requests to the running server and in a real browser."""

import base64
import io
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from helpers.browser import browse
from helpers.networks import make_pipeline
from helpers.people import SIZE, draw_person
from PIL import Image

pytest.importorskip("gradio", reason="the extra `demo` is not installed")

import httpx

from xmdpt.data.keypoints import JOINTS, draw_skeleton, missing
from xmdpt.demo import page
from xmdpt.demo.editor import as_address
from xmdpt.demo.page import serve
from xmdpt.demo.poses import parse_pose, pose_pictures, stored_poses
from xmdpt.photos.framing import unsquash
from xmdpt.photos.loading import PhotoError
from xmdpt.photos.marking import MARK
from xmdpt.photos.people import PeopleFinder
from xmdpt.photos.subjects import squash_points

SECRET = "nobody reads this over the network"

heard: list[str] = []  # hosts that this process connected to, or looked up


def _listen(event: str, arguments: tuple) -> None:
    if event == "socket.getaddrinfo":
        heard.append(str(arguments[0]))
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        heard.append(str(arguments[1][0]))


sys.addaudithook(_listen)


def is_here(host: str) -> bool:
    return host in ("localhost", "None") or host.startswith("127.") or host == "::1"


@pytest.fixture(scope="module")
def address(tiny_vae):
    heard.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing may go through it
        finder = PeopleFinder("./none", "./none", "./none")
        with serve(make_pipeline(tiny_vae), finder) as address:
            yield address.rstrip("/")


@pytest.fixture
def client(address):
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photo")
    draw_person(folder / "me.png", folder / "me.txt", (200, 30, 30), 0)
    return folder / "me.png"


def upload(client, name: str, content: bytes) -> dict:
    answer = client.post("/gradio_api/upload", files={"files": (name, content)})
    answer.raise_for_status()
    return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}


def call(client, name: str, data: list, session: str) -> tuple[bool, dict]:
    """Whether the endpoint of that name succeeded, and what came out."""
    [number] = [
        d["id"] for d in client.get("/config").json()["dependencies"] if d["api_name"] == name
    ]
    body = {"data": data, "fn_index": number, "session_hash": session}
    client.post("/gradio_api/queue/join", json=body).raise_for_status()
    url = f"/gradio_api/queue/data?session_hash={session}"
    with client.stream("GET", url) as stream:
        for line in stream.iter_lines():
            message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
            if message.get("msg") == "process_completed":
                return message["success"], message["output"]
    raise AssertionError("no answer")


def take_source(client, file, session="a"):
    return call(client, "source", [file, None], session)


def take_pose(client, file, session="a"):
    return call(client, "pose", [file, None], session)


def draw(client, pose, session, count=2, steps=2, seed=3, preset="exact"):
    return call(client, "draw", [None, pose, seed, count, preset, steps, 2.0], session)


def test_stored_poses_are_whole_people_and_many():
    assert len(pose_pictures()) == len(stored_poses()) >= 24
    for name, joints in stored_poses().items():
        points = parse_pose(json.dumps(joints))
        assert points.shape == (18, 2) and (~missing(points)).sum() >= 14, name


@pytest.mark.parametrize("text, says", [
    ("", "Expecting"), ("null", "18"), ("[[1, 2]]", "18"), ("[" * 100_000, "the pose"),
    (json.dumps([[1, 2]] * 3 + [[-1, -1]] * 15), "needs 4"),
    (json.dumps([[1, 2]] * 17 + [[5000, 2]]), "outside"),
    ("[" + "[NaN, 1]," * 17 + "[1, 2]]", "NaN"), (json.dumps([["a", "b"]] * 18), "18"),
])  # fmt: skip
def test_what_is_not_a_pose_is_refused(text, says):
    with pytest.raises(PhotoError, match=says):
        parse_pose(text)


def test_only_this_machine_is_served(address):
    host, port = urlsplit(address).hostname, urlsplit(address).port
    assert host == "127.0.0.1"
    with socket.create_connection((host, port), timeout=5):
        pass
    with pytest.raises(OSError):  # a server on all addresses would answer here
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_a_person_is_drawn_and_the_pictures_are_marked(client, photo):
    file = upload(client, "me.png", photo.read_bytes())
    done, output = take_source(client, file, "draw")
    assert done, output
    pose = json.dumps(next(iter(stored_poses().values())))
    done, output = draw(client, pose, "draw")
    assert done, output
    gallery, best = output["data"]
    assert {item["caption"] for item in gallery} == {"seed 3", "seed 4"}
    assert Path(best["path"]).name == Path(gallery[0]["image"]["path"]).name
    for item in gallery:
        content = client.get(urlsplit(item["image"]["url"]).path).content
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.info["Software"] == MARK
            assert picture.size == (SIZE, round(SIZE * 1101 / 750))
    done, output = draw(client, pose, "draw", count=1, seed=None)  # a field that was emptied
    assert done and output["data"][0][0]["caption"] == "seed 0"


def test_what_the_model_sees_is_shown(client, photo):
    """The person at the model's size, and the same below the skeleton that it is given."""
    pose = json.dumps(next(iter(stored_poses().values())))
    done, output = call(client, "look", [None, pose], "look")
    assert not done and "choose a photo" in output["error"]
    take_source(client, upload(client, "me.png", photo.read_bytes()), "look")
    done, output = call(client, "look", [None, pose], "look")
    assert done, output
    crop = np.asarray(Image.open(photo).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
    skeleton = draw_skeleton(squash_points(parse_pose(pose), SIZE), (SIZE, SIZE))
    mixed = (0.3 * crop + 0.7 * skeleton).astype(np.uint8)
    over = np.where(skeleton.any(axis=2, keepdims=True), mixed, crop)
    content = client.get(urlsplit(output["data"][0]["url"]).path).content
    shown = Image.open(io.BytesIO(content)).convert("RGB")
    expected = [unsquash(Image.fromarray(one)) for one in (crop, over)]
    np.testing.assert_array_equal(shown, np.hstack(expected))


@pytest.mark.parametrize("wanted", [True, False])
def test_the_photo_that_is_traced_changes_with_the_person(client, photo, tmp_path, wanted):
    """If none is traced, the photo of a pose stays."""
    session = f"trace {wanted}"
    shown = []
    for color in ((200, 30, 30), (30, 30, 200)):
        draw_person(tmp_path / "me.png", tmp_path / "me.txt", color, 0)
        file = upload(client, "me.png", (tmp_path / "me.png").read_bytes())
        assert take_source(client, file, session)[0]
        done, output = call(client, "retraced", [wanted, None], session)
        assert done, output
        shown.append(output["data"][0].get("props", {}).get("photo"))
    if not wanted:
        assert shown == [None, None]
        return
    for address, red in zip(shown, (True, False), strict=True):
        content = base64.b64decode(address.removeprefix("data:image/jpeg;base64,"))
        red_level, _, blue = np.asarray(Image.open(io.BytesIO(content)))[25, 22]
        assert (red_level > blue) == red


@pytest.mark.slow
def test_a_rendered_person_is_drawn(client):
    """Any number is a person."""
    for number in (3, 10**12, None):
        done, output = call(client, "render", [number], "rendered")
        assert done, output
    done, output = draw(client, json.dumps(next(iter(stored_poses().values()))), "rendered")
    assert done and len(output["data"][0]) == 2, output


CLIENT = """
import json, sys
from gradio_client import Client, handle_file

address, photo, pose = sys.argv[1:]
client = Client(address, verbose=False, analytics_enabled=False)
client.predict(handle_file(photo), None, api_name="/source")
pose = client.predict(handle_file(pose), None, api_name="/pose")["value"]
pictures, best = client.predict(pose, 3, 2, "exact", 2, 2.0, api_name="/draw")
print(json.dumps([len(pictures), best]))
"""


def test_programs_call_the_endpoints_by_name(address, photo, tmp_path):
    """From a process of its own: the client, unlike the server, asks other machines for news."""
    pose = tmp_path / "pose.txt"
    np.savetxt(pose, next(iter(stored_poses().values())))
    command = [sys.executable, "-c", CLIENT, address, str(photo), str(pose)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "no_proxy": "127.0.0.1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    count, best = json.loads(done.stdout.splitlines()[-1])
    assert count == 2 and Image.open(best).size == (SIZE, round(SIZE * 1101 / 750))


def test_joints_from_a_file_come_to_the_editor(client):
    joints = np.array(next(iter(stored_poses().values())), float)
    file = upload(client, "pose.txt", "\n".join(f"{x} {y}" for x, y in joints).encode())
    done, output = take_pose(client, file)
    assert done, output
    assert output["data"][0]["props"]["photo"] == "", "there is no photo to trace"
    points = np.array(json.loads(output["data"][0]["value"]), float)
    across, before = points[5] - points[2], joints[5] - joints[2]
    np.testing.assert_allclose(
        across / np.ptp(points, 0)[1], before / np.ptp(joints, 0)[1], atol=0.02
    )


def test_a_pose_that_nobody_takes_comes_with_a_remark(client, monkeypatch):
    remarks = []
    monkeypatch.setattr(page.gr, "Warning", remarks.append)
    joints = np.array(next(iter(stored_poses().values())))[:, ::-1]
    file = upload(client, "pose.csv", "\n".join(f"{x},{y}" for x, y in joints).encode())
    done, output = take_pose(client, file)
    assert done, output
    assert remarks == ["pose.csv: the person lies, feet to the right: are x and y swapped?"]


def test_bad_input_is_a_message(client, photo):
    text = upload(client, "me.jpg", b"not a picture")
    done, output = take_source(client, text, "b")
    assert not done and "not a readable picture" in output["error"]
    assert output["error"].startswith("me.jpg: ")  # as uploaded, without the server's folders
    white = io.BytesIO()
    Image.new("RGB", (750, 1101), "white").save(white, "PNG")
    done, output = take_source(client, upload(client, "white.png", white.getvalue()), "b")
    assert not done and output["error"].startswith("white.png: ")
    assert "of one colour" in output["error"]
    done, output = draw(client, "[]", "empty")
    assert not done and "choose a photo" in output["error"]
    file = upload(client, "me.png", photo.read_bytes())
    take_source(client, file, "b")
    pose = json.dumps(next(iter(stored_poses().values())))
    for count, steps in ((9, 2), (2, 10**6), (0, 2), (2, 1)):
        done, _ = draw(client, pose, "b", count, steps)
        assert not done
    done, _ = draw(client, pose, "b", preset="slow", steps=0)
    assert not done
    done, output = draw(client, json.dumps([[-1, -1]] * 18), "b")
    assert not done and "needs 4" in output["error"]
    done, output = take_pose(client, file, "b")  # a photo, and no detector on this machine
    assert not done and "--detector ./none: no folder" in output["error"]


def test_uploads_have_a_limit(client):
    answer = client.post("/gradio_api/upload", files={"files": ("a.png", b"0" * 21 * 10**6)})
    assert answer.status_code == 413
    assert client.post("/gradio_api/upload", files={"files": ("a.png", b"0")}).status_code == 200


def join(client, name: str, data: list, session: str) -> int:
    """Ask for an endpoint without waiting for it; the answer's status."""
    [number] = [
        d["id"] for d in client.get("/config").json()["dependencies"] if d["api_name"] == name
    ]
    body = {"data": data, "fn_index": number, "session_hash": session}
    return client.post("/gradio_api/queue/join", json=body).status_code


def test_only_so_many_wait_for_a_picture(tiny_vae, photo):
    """One is drawn at a time; whoever comes when the queue is full is told to come again."""
    pipe, begun, go_on = make_pipeline(tiny_vae), threading.Event(), threading.Event()

    def hold(*_):
        begun.set()
        go_on.wait(120)

    pipe.transformer.canet.register_forward_pre_hook(hold)
    pose = json.dumps(next(iter(stored_poses().values())))
    asked = [None, pose, 0, 1, "exact", 2, 2.0]
    with serve(pipe, PeopleFinder("./none", "./none", "./none")) as address:
        try:
            with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
                file = upload(client, "me.png", photo.read_bytes())
                assert take_source(client, file, "first")[0]
                assert join(client, "draw", asked, "first") == 200
                assert begun.wait(60)
                waiting = [join(client, "draw", asked, "others") for _ in range(page.MAX_WAITING)]
                assert waiting == [200] * page.MAX_WAITING
                assert join(client, "draw", asked, "late") == 503
        finally:
            go_on.set()


def test_no_file_outside_the_temporary_folder_is_reachable(client, tmp_path, photo):
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    mine = upload(client, "../../../escaped.txt", b"mine")["path"]
    folder = Path(mine).parents[1]
    assert client.get(f"/gradio_api/file={mine}").text == "mine"
    assert Path(mine).resolve().is_relative_to(Path(page.os.environ["GRADIO_TEMP_DIR"]))
    beside = folder.parent / f"{folder.name}-beside.txt"
    beside.write_text(SECRET)
    repository = Path(page.__file__).parents[2]
    up = "../" * 12
    paths = [
        str(secret), f"{folder}/{up}{secret}", f"{up}{secret}", str(beside),
        f"{folder}/../{beside.name}", "/etc/passwd", f"{folder}/{up}etc/passwd",
        str(repository / "README.md"), "README.md", "params.yaml", "/proc/self/environ",
        str(folder), "~/.netrc",
    ]  # fmt: skip
    try:
        for path, prefix in itertools.product(
            paths, ("/gradio_api/file=", "/file=", "/gradio_api/file/", "/static/", "/assets/",
                    "/gradio_api/proxy=", "/custom_component/", "/theme.css/"),
        ):  # fmt: skip
            for spelled in (path, path.replace("/", "%2F"), path.replace("..", "%2e%2e")):
                answer = client.get(prefix + spelled)
                body = answer.text
                assert SECRET not in body and "root:" not in body and "PATH=" not in body, spelled
                ours = "make repro" in body or "learning_rate" in body
                assert answer.status_code != 200 or not ours, (prefix, spelled)
    finally:
        beside.unlink()
    for path in (str(secret), "/etc/passwd", f"{folder}/{up}etc/passwd"):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        for take in (take_source, take_pose):
            done, output = take(client, file, "c")
            assert not done and SECRET not in json.dumps(output)


def test_the_server_fetches_no_url_for_a_client(client):
    for prefix in ("/gradio_api/file=", "/file=", "/gradio_api/proxy="):
        answer = client.get(prefix + "http://example.invalid/a.png")
        assert answer.status_code in (400, 404)
    for path in ("http://example.invalid/a.png", "https://example.invalid/a.png"):
        file = {"path": path, "url": path, "meta": {"_type": "gradio.FileData"}}
        done, output = take_source(client, file, "d")
        assert not done, output
    assert not [host for host in heard if "example" in host]


def test_the_page_loads_nothing_from_other_servers(client):
    """Fonts and scripts are this server's, and the browser is told to accept no others."""
    start = client.get("/")
    policy = start.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "http" not in policy and "*" not in policy
    loaded = re.findall(r'<(?:script|link)[^>]+(?:src|href)="([^"]+)"', start.text)
    assert loaded and not [url for url in loaded if "//" in url]
    theme = client.get("/theme.css").text
    assert "system-ui" in theme and not re.findall(r"url\(['\"]?https?:", theme)
    config = client.get("/config").json()
    assert not config["analytics_enabled"]
    assert not config.get("stylesheets")


def test_this_process_contacted_no_other_machine(client):
    """Last of the quick tests: all that the server did until here stayed on this machine."""
    assert client.get("/").status_code == 200 and heard
    assert [host for host in heard if not is_here(host)] == []


# A real browser


@pytest.mark.slow
def test_in_a_real_browser(address, photo, tmp_path, monkeypatch):
    """Upload, drag the left wrist, move the nose by keys, draw; no request leaves this machine."""
    poses = []
    monkeypatch.setattr(
        page, "parse_pose", lambda text: poses.append(parse_pose(text)) or poses[-1]
    )
    with browse(tmp_path / "profile") as browser:
        for domain in ("Page", "Network", "Runtime", "DOM"):
            browser.do(f"{domain}.enable")
        browser.do("Page.navigate", url=address)
        browser.wait("!!document.querySelector('#editor canvas')")
        browser.wait("document.querySelector('#editor .note').textContent.length > 0")

        browser.upload("input[type=file]", photo)
        browser.wait("document.querySelector('#person img')?.naturalWidth")

        start = np.array(next(iter(stored_poses().values())), float)
        wrist = JOINTS.index("left_wrist")
        browser.value("document.querySelector('#editor').scrollIntoView()")
        left, top, width = browser.value(
            "(() => { const b = document.querySelector('#editor canvas').getBoundingClientRect();"
            " return [b.left, b.top, b.width] })()"
        )
        scale = width / 750
        goal = start[wrist] + [40, -250]
        at, to = start[wrist] * scale + [left, top], goal * scale + [left, top]
        browser.mouse("mousePressed", *at)
        browser.mouse("mouseMoved", *((at + to) / 2))
        browser.mouse("mouseMoved", *to)
        browser.mouse("mouseReleased", *to)
        browser.value("document.querySelector('#editor canvas').focus()")
        for key in ("PageDown", "PageDown", "PageUp", "ArrowRight", "ArrowRight", "ArrowUp"):
            browser.key(key)
        assert browser.value("document.querySelector('#editor .note').textContent") == "nose"

        browser.value("document.querySelectorAll('input[type=range]')[0].scrollIntoView()")
        browser.value("document.querySelector('#draw').click()")
        browser.wait("document.querySelector('#seen img')?.naturalWidth")
        browser.wait("document.querySelectorAll('#pictures img').length >= 2", 300)
        browser.wait("[...document.querySelectorAll('#pictures img')].every(i => i.naturalWidth)")
        browser.value("scrollTo(0, 0)")
        browser.screenshot(tmp_path / "page.png")
    looked, pose = poses
    np.testing.assert_array_equal(looked, pose, "what is shown as seen is what is drawn")
    np.testing.assert_allclose(pose[wrist], goal, atol=4)
    np.testing.assert_allclose(pose[0], start[0] + [20, -10])
    others = ~np.isin(np.arange(18), (0, wrist))
    np.testing.assert_allclose(pose[others], start[others])
    assert browser.problems == []
    outside = [url for url in browser.urls
               if not url.startswith((address, "data:", "blob:", "about:"))]  # fmt: skip
    assert browser.urls and outside == []


NOW = "document.querySelector('#editor').textContent && window.pose()"
POSE = """
window.pose = () => { const c = document.querySelector('#editor canvas');
  return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.join().length +
    ':' + c.toDataURL().length + ':' + c.toDataURL().slice(-400) }
"""
KEEP = """
URL.createObjectURL = (blob) => { blob.text().then((text) => { window.saved = text }); return '#' }
"""


def act(browser, name):
    browser.value(f"document.querySelector('#editor [data-do={name}]').click()")


@pytest.mark.slow
def test_the_editor_undoes_mirrors_saves_and_traces(address, photo, tmp_path):
    """And the page fits a phone."""
    with browse(tmp_path / "profile") as browser:
        for domain in ("Page", "Network", "Runtime", "DOM"):
            browser.do(f"{domain}.enable")
        size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
        browser.do("Emulation.setDeviceMetricsOverride", **size)
        browser.do("Page.navigate", url=address)
        browser.wait("!!document.querySelector('#editor canvas')")
        browser.wait("document.querySelector('#editor .note').textContent.length > 0")
        browser.value(POSE + KEEP)
        assert browser.value("document.documentElement.scrollWidth") <= 390
        disabled = "document.querySelector('#editor [data-do={}]').disabled"
        assert browser.value(disabled.format("undo")) and browser.value(disabled.format("redo"))

        first = browser.value(NOW)
        act(browser, "mirror")
        mirrored = browser.value(NOW)
        assert mirrored != first
        act(browser, "undo")
        assert browser.value(NOW) == first and browser.value(disabled.format("undo"))
        act(browser, "redo")
        assert browser.value(NOW) == mirrored and browser.value(disabled.format("redo"))
        act(browser, "mirror")
        assert browser.value(NOW) == first, "twice mirrored is as it was"

        browser.value("document.querySelectorAll('#poses button')[9].click()")
        browser.wait(f"({NOW}) !== {json.dumps(first)}")
        act(browser, "undo")
        assert browser.value(NOW) == first, "a pose that was chosen is undone too"

        act(browser, "save")
        saved = json.loads(browser.wait("window.saved"))
        joints = np.array(saved["people"][0]["pose_keypoints_2d"]).reshape(18, 3)
        np.testing.assert_array_equal(joints[:, :2], next(iter(stored_poses().values())))
        assert (saved["canvas_width"], saved["canvas_height"]) == (750, 1101)

        browser.upload("input[type=file]", photo)
        browser.wait("document.querySelector('#person img')?.naturalWidth")
        browser.value("document.querySelector('input[type=checkbox]').click()")
        traced = browser.wait(f"({NOW}) !== {json.dumps(first)} && ({NOW})")
        browser.value("document.querySelector('#render').click()")
        browser.wait(f"({NOW}) !== {json.dumps(traced)}")  # another person is below the joints
        browser.screenshot(tmp_path / "phone.png")
    assert browser.problems == []


def test_a_photo_to_trace_is_no_larger_than_the_canvas():
    photo = Image.new("RGB", (3000, 4404))
    content = base64.b64decode(as_address(photo).partition(",")[2])
    assert Image.open(io.BytesIO(content)).size == (750, 1101) and photo.size == (3000, 4404)
