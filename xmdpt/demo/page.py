"""The page and its server: Gradio, without any traffic that leaves the machine."""

import json
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Set before Gradio is imported, which would report to its makers and look for newer versions.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import numpy as np
from PIL import Image
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xmdpt.config import MIN_STEPS, ConfigError
from xmdpt.data.pairs import SUFFIXES as PICTURES
from xmdpt.demo.editor import as_address, pose_editor, retraced, traced
from xmdpt.demo.poses import parse_pose, pose_pictures, stored_poses
from xmdpt.generate import Prepared, draw
from xmdpt.people.dataset import identity, render_person
from xmdpt.photos.check import skeleton_over
from xmdpt.photos.framing import ASPECT_HEIGHT, ASPECT_WIDTH, squash, unsquash
from xmdpt.photos.joints import SUFFIXES
from xmdpt.photos.loading import PhotoError
from xmdpt.photos.marking import save_picture
from xmdpt.photos.people import PeopleFinder
from xmdpt.photos.sources import check_source
from xmdpt.photos.subjects import (
    Framed,
    Subject,
    read_keypoints_subject,
    read_photo_subject,
)
from xmdpt.pipeline import XMDPTPipeline
from xmdpt.presets import Preset, PresetError, plan, presets_of

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
"""Of events that are of use on the page alone. The others are endpoints for programs."""
MAX_UPLOAD = "20mb"
MAX_PICTURES = 8
MAX_STEPS = 100
MAX_WAITING = 16
MAX_SESSIONS = 64
FIRST_PERSON, PEOPLE = (
    9_000_000,
    1_000_000,
)  # rendered people whom the small weights have never seen
Move = Callable[[str | Path | None], Coroutine[Any, Any, str | None]]
"""How Gradio brings a file that a client names into its own folder."""

# Nothing that shares, records or adds to the page.
LAUNCH: dict[str, Any] = {
    "share": False,
    "quiet": True,
    "footer_links": [],
    "run_history": False,
    "enable_monitoring": False,
    "ssr_mode": False,
    "pwa": False,
    "mcp_server": False,
    "max_file_size": MAX_UPLOAD,
    "state_session_capacity": MAX_SESSIONS,
}

# Makes the browser itself refuse fonts, scripts, pictures and requests of any other server.
POLICY = "; ".join((
    "default-src 'self'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # Gradio's page needs inline scripts
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "worker-src 'self' blob:",
    "object-src 'none'",
    "frame-ancestors 'none'",
))  # fmt: skip


class KeepInside:
    """ASGI middleware that sends POLICY with every response and never fetches a URL for a client.

    Gradio's file route would fetch one, so any path with a URL in it is not found.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [
                    (b"content-security-policy", POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                    (b"x-content-type-options", b"nosniff"),
                ]
                message["headers"] = [*message.get("headers", []), *headers]
            await send(message)

        if scope["type"] == "http" and ":/" in scope["path"]:
            await with_policy({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await self.app(scope, receive, with_policy)


def _refuse_addresses(page: gr.Blocks) -> None:
    """Keep components from downloading a URL that a client sends in place of an upload."""

    def guarded(move: Move) -> Move:
        async def only_files(path: str | Path | None) -> str | None:
            if path is not None and "://" in str(path):
                raise gr.Error("upload a file; URLs are not fetched")
            return await move(path)

        return only_files

    for block in page.blocks.values():
        if isinstance(block, gr.components.Component):
            move = guarded(block.async_move_resource_to_block_cache)
            block.async_move_resource_to_block_cache = move  # type: ignore[assignment,method-assign]


@contextmanager
def _errors_shown() -> Iterator[None]:
    """Show an error on the page, without the server's folders in its text."""
    try:
        yield
    except (PhotoError, ConfigError, PresetError) as error:
        message = _without_folders(str(error))
        raise gr.Error(message, duration=None, print_exception=False) from None


def _prepared(source: Image.Image | None, pose: str) -> Prepared:
    """The person and the pose of the page; raises PhotoError where one cannot be used."""
    if source is None:
        raise PhotoError("choose a photo of the person first")
    return Prepared(source, parse_pose(pose))


def _without_folders(message: str) -> str:
    folders = re.escape(os.environ["GRADIO_TEMP_DIR"]) + r"/(\w+/)?"
    return re.sub(folders, "", message)


class Studio:
    """The page's actions, with one pipeline and one finder for all visitors."""

    def __init__(self, pipe: XMDPTPipeline, finder: PeopleFinder) -> None:
        self.pipe = pipe
        self.finder = finder
        pipe.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]

    def _read(self, path: str, person: float | None, pose: bool) -> Framed:
        number = int(person) if person else None
        subject = Subject(Path(path), person=number, flag="Person number")
        if pose and not subject.is_photo:
            framed = read_keypoints_subject(subject)
        else:
            framed = read_photo_subject(subject, self.finder, want_keypoints=pose)
        for remark in framed.remarks:
            gr.Warning(_without_folders(remark))
        return framed

    def take_source(
        self, path: str | None, person: float | None
    ) -> tuple[Image.Image | None, Image.Image | None]:
        """An uploaded photo -> the framed picture, to keep and to show.

        Its size is limited to DeepFashion's, since each visitor's is kept in memory.
        """
        if path is None:
            return None, None
        with _errors_shown():
            picture = self._read(path, person, pose=False).picture
            assert picture is not None, "a photo was asked for"
            check_source(squash(picture, 128), path)
        picture.thumbnail((ASPECT_WIDTH, ASPECT_HEIGHT))
        return picture, picture

    def render(self, number: float | None) -> tuple[Image.Image, Image.Image]:
        """The rendered person with that number, to keep and to show."""
        person = identity(0, FIRST_PERSON + int(number or 0) % PEOPLE)
        picture = Image.fromarray(render_person(person, 0)[0])
        return picture, picture

    def take_pose(self, path: str | None, person: float | None) -> gr.HTML | dict[str, Any]:
        """An uploaded photo or key point file -> the editor's JSON, and the photo to trace."""
        if path is None:
            return gr.skip()
        with _errors_shown():
            framed = self._read(path, person, pose=True)
        assert framed.keypoints is not None, "joints were asked for"
        joints = json.dumps(np.rint(framed.keypoints).astype(int).tolist())
        return gr.HTML(joints, photo=as_address(framed.picture))

    def look(self, source: Image.Image | None, pose: str) -> Image.Image:
        """What the model sees at its size: the person and, here over the person, the pose."""
        with _errors_shown():
            prepared = _prepared(source, pose)
        crop, joints = prepared.source_at(self.pipe.size), prepared.keypoints_at(self.pipe.size)
        both = [
            np.asarray(unsquash(Image.fromarray(one)))
            for one in (crop, skeleton_over(crop, joints))
        ]
        return Image.fromarray(np.hstack(both))

    def draw(
        self,
        source: Image.Image | None,
        pose: str,
        seed: float | None,
        count: float,
        preset: Preset,
        steps: float,
        guidance: float,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - Gradio finds it by this default
    ) -> tuple[list[tuple[str, str]], str]:
        """Draw; returns the gallery, best first, and the best picture's file. All are marked."""
        with _errors_shown():
            prepared = _prepared(source, pose)
            count, steps = int(count), int(steps)
            allowed = (0, *range(MIN_STEPS, MAX_STEPS + 1))
            if not (1 <= count <= MAX_PICTURES and steps in allowed):
                raise PhotoError(
                    f"choose 1 to {MAX_PICTURES} pictures and {MIN_STEPS} to {MAX_STEPS} steps, or "
                    "0 for the preset's"
                )
            first = int(seed or 0) % 2**31
            asked = (steps or None, self.pipe.learned, float(guidance))
            total = plan(preset, self.pipe.scheduler, *asked).steps
            drawn = draw(
                self.pipe,
                prepared,
                range(first, first + count),
                preset=preset,
                num_inference_steps=steps or None,
                guidance_scale=float(guidance),
                progress=lambda done: progress((done, total), unit="steps"),
            )
        folder = Path(os.environ["GRADIO_TEMP_DIR"]) / secrets.token_hex(16)
        gallery = []
        for index in sorted(range(count), key=lambda index: -drawn.scores[index]):
            path = folder / f"xmdpt-seed-{drawn.seeds[index]}.png"
            save_picture(drawn.pictures[index], path)
            gallery.append((str(path), f"seed {drawn.seeds[index]}"))
        return gallery, gallery[0][0]


def build_page(studio: Studio) -> gr.Blocks:
    """The page. It keeps nothing on the server for longer than an hour."""
    kept = (600, 3600)  # every ten minutes, files older than an hour are deleted
    with gr.Blocks(title="xmdpt", analytics_enabled=False, delete_cache=kept) as page, gr.Row():
        source = _person_column(studio)
        editor = _pose_column(studio, source)
        _picture_column(studio, source, editor)
    _refuse_addresses(page)
    return page.queue(max_size=MAX_WAITING)


def _person_column(studio: Studio) -> gr.State:
    """The person's photo; returns the framed picture, which is never read back from a browser."""
    with gr.Column():
        gr.Markdown("### 1. The person")
        photo = gr.File(
            label="Photo (up to 20 MB)", file_types=[*PICTURES], type="filepath", height=150
        )
        with gr.Accordion("Several people in the photo?", open=False):
            person = gr.Number(label="Which person (0: the only one)", precision=0, value=0)
        number = gr.Number(label="or a rendered person, by number", precision=0, value=1, minimum=0)
        button = gr.Button("Render", elem_id="render")
        shown = gr.Image(
            label="The person to draw", interactive=False, height=360, buttons=[], elem_id="person"
        )
        gr.Markdown("The small weights that come with xmdpt only know rendered people.")
        source = gr.State()
    changed = [photo.change, person.submit]
    gr.on(changed, studio.take_source, [photo, person], [source, shown], api_name="source")
    wanted = [button.click, number.submit]
    one: dict[str, Any] = {"concurrency_limit": 1, "api_name": "render"}
    gr.on(wanted, studio.render, number, [source, shown], **one)
    return source


def _pose_column(studio: Studio, source: gr.State) -> gr.HTML:
    """Stored poses, upload of a pose, and the editor, which is returned."""
    poses = stored_poses()
    names = [*poses]
    with gr.Column():
        gr.Markdown("### 2. The pose")
        editor = pose_editor(poses[names[0]])
        with gr.Accordion("Poses to start from", open=True):
            chosen = gr.Gallery(
                pose_pictures(), columns=3, height=320, allow_preview=False, interactive=False,
                buttons=[], show_label=False, object_fit="contain", elem_id="poses",
            )  # fmt: skip
        with gr.Accordion("Or from a photo or a file of joints", open=False):
            upload = gr.File(
                label="Photo, or joints in a file", type="filepath", height=150,
                file_types=[*PICTURES, *SUFFIXES],
            )  # fmt: skip
            person = gr.Number(label="Which person (0: the only one)", precision=0, value=0)
        trace = gr.Checkbox(label="Trace over the person's photo")

    def start_from(picked: gr.SelectData) -> gr.HTML:
        return gr.HTML(json.dumps(poses[names[picked.index]]))

    chosen.select(start_from, None, editor, **PRIVATE)
    trace.input(traced, [trace, source], editor, **PRIVATE)
    source.change(retraced, [trace, source], editor, **PRIVATE)
    given = [upload.upload, person.submit]
    gr.on(given, studio.take_pose, [upload, person], editor, api_name="pose")
    return editor


def _picture_column(studio: Studio, source: gr.State, editor: gr.HTML) -> None:
    """Seed, settings, the button, the pictures, and the best one's file."""
    with gr.Column():
        gr.Markdown("### 3. The picture")
        seed = gr.Number(label="First seed", value=0, precision=0)
        count = gr.Slider(1, MAX_PICTURES, value=2, step=1, label="Number of pictures (best first)")
        with gr.Accordion("More", open=False):
            best = studio.pipe.best_preset
            presets = presets_of(studio.pipe.scheduler, studio.pipe.learned)
            preset = gr.Radio(presets, value=best, label="Preset: exact is the paper's 50 steps")
            steps = gr.Slider(0, MAX_STEPS, value=0, step=1, label="Steps (0: the preset's)")
            guidance = gr.Slider(1, 5, value=2.0, step=0.1, label="Guidance scale")
        button = gr.Button("Draw", variant="primary", elem_id="draw")
        gallery = gr.Gallery(
            label="Pictures", preview=True, selected_index=0, height=560, object_fit="contain",
            buttons=["download"], elem_id="pictures", interactive=False,
        )  # fmt: skip
        file = gr.File(label="Download", interactive=False, height=80)
        seen = gr.Image(
            label="What the model sees", height=280,
            interactive=False, buttons=[], format="png", elem_id="seen",
        )  # fmt: skip
        gr.Markdown("Every picture is marked as generated. Ask people before you draw them.")
    inputs = [source, editor, seed, count, preset, steps, guidance]
    one: dict[str, Any] = {"concurrency_limit": 1, "api_name": "draw"}
    looked = button.click(studio.look, [source, editor], seen, **PRIVATE)
    looked.success(studio.draw, inputs, [gallery, file], **one)


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Set environment variables for the length of a block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextmanager
def serve(
    pipe: XMDPTPipeline,
    finder: PeopleFinder,
    host: str = "127.0.0.1",
    port: int | None = None,
) -> Iterator[str]:
    """Run the page until the block ends; yields its address.

    Uploads and pictures are in a temporary folder, the only one that the server reads, which is
    deleted at the end. `port`: None takes the first free one from 7860.
    """
    sans, mono = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    # Gradio calls its own server once; that call must not go through a proxy.
    no_proxy = ",".join(filter(None, [direct, host, "127.0.0.1", "localhost"]))
    with (
        tempfile.TemporaryDirectory(prefix="xmdpt-demo-") as folder,
        _environment(GRADIO_TEMP_DIR=str(Path(folder).resolve()), no_proxy=no_proxy),
    ):
        page = build_page(Studio(pipe, finder))
        try:
            _, address, _ = page.launch(
                server_name=host,
                server_port=port,
                prevent_thread_lock=True,
                theme=gr.themes.Default(font=sans, font_mono=mono),
                app_kwargs={"middleware": [Middleware(KeepInside)]},
                **LAUNCH,
            )
            yield address
        finally:
            page.close(verbose=False)
