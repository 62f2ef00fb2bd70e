"""The page of a Space: `space.py` puts it, with all that it needs of xmdpt, into one file.

So it reads what lies beside that file, and imports Gradio only where it is used.
"""

import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from PIL import Image

from xmdpt.data.images import decode_picture, read_bytes
from xmdpt.data.keypoints import draw_skeleton
from xmdpt.demo.poses import parse_pose
from xmdpt.photos.framing import ASPECT_HEIGHT, ASPECT_WIDTH, CANVAS, unsquash, whole_frame
from xmdpt.photos.marking import save_picture

HERE = Path(__file__).parent
KEPT = (600, 3600)
"""Every ten minutes, files older than an hour are deleted."""
MAX_WAITING = 16


@cache
def load_model() -> Any:
    """The pipeline beside this file."""
    pipe: Any = DiffusionPipeline.from_pretrained(HERE / "model", trust_remote_code=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show what is wrong with a photo or a pose on the page, and to a client."""
    import gradio as gr

    try:
        yield
    except ValueError as error:
        raise gr.Error(str(error), duration=None, print_exception=False) from None


def draw_joints(pose: str) -> Image.Image:
    """The skeleton picture of joints, a JSON list of 18 [x, y] in pixels of 750x1101."""
    with errors_shown():
        return Image.fromarray(draw_skeleton(parse_pose(pose), CANVAS))


def draw_person(photo: str, pose: str, seed: float, steps: float, guidance: float) -> str:
    """A photo's file and joints -> the file of a picture, marked as generated.

    A photo that is not 750:1101 is padded with white. `steps`: 0 means those of the best preset.
    """
    with errors_shown():
        if not photo:
            raise ValueError("choose a photo of the person first")
        pipe, picture = load_model(), decode_picture(read_bytes(photo), "the photo")
        square = (pipe.size, pipe.size)
        joints = whole_frame((ASPECT_WIDTH, ASPECT_HEIGHT)).points_in(parse_pose(pose), square)
        drawn = pipe(
            whole_frame(picture.size).cut(picture),
            joints,
            preset=pipe.best_preset,
            num_inference_steps=int(steps) or None,
            guidance_scale=float(guidance),
            generator=torch.Generator().manual_seed(int(seed)),
        ).images[0]
    path = Path(os.environ["GRADIO_TEMP_DIR"]) / secrets.token_hex(16) / "xmdpt.png"
    save_picture(unsquash(drawn), path)
    return str(path)


def page() -> Any:
    """The page, with the endpoints /draw and /skeleton."""
    os.environ.setdefault("GRADIO_TEMP_DIR", tempfile.mkdtemp(prefix="xmdpt-space-"))
    import gradio as gr

    poses = json.loads((HERE / "poses.json").read_text())
    texts = {name: json.dumps(joints) for name, joints in poses.items()}
    first = next(iter(texts))
    with gr.Blocks(title="X-MDPT", delete_cache=KEPT) as made, gr.Row():
        photo = gr.Image(str(HERE / "person.png"), type="filepath", label="The person")
        with gr.Column():
            chosen = gr.Dropdown(list(texts), value=first, label="The pose")
            pose = gr.Textbox(texts[first], label="Its 18 joints, pixels of 750x1101", lines=3)
            skeleton = gr.Image(
                draw_joints(texts[first]), label="What the model sees of it", interactive=False,
                height=360,
            )  # fmt: skip
        with gr.Column():
            seed = gr.Number(0, label="Seed", precision=0, minimum=0)
            steps = gr.Slider(0, 50, value=0, step=1, label="Steps (0: the default)")
            guidance = gr.Slider(1, 5, value=2.0, step=0.1, label="Guidance scale")
            button = gr.Button("Draw", variant="primary")
            drawn = gr.Image(label="The picture", interactive=False, type="filepath", format="png")
            gr.Markdown("Every picture is marked as generated. Ask people before you draw them.")
        chosen.input(texts.get, chosen, pose, api_visibility="private")
        pose.change(draw_joints, pose, skeleton, api_name="skeleton")
        given = [photo, pose, seed, steps, guidance]
        button.click(draw_person, given, drawn, api_name="draw", concurrency_limit=1)
    return made.queue(max_size=MAX_WAITING)
