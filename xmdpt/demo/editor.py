"""The pose editor of the page: a canvas whose joints are dragged, run by editor.js."""

import base64
import json
from importlib.resources import files
from io import BytesIO
from typing import Any

import gradio as gr
from PIL import Image

from xmdpt.data.keypoints import COLORS, JOINTS, LIMBS
from xmdpt.photos.framing import ASPECT_HEIGHT, ASPECT_WIDTH
from xmdpt.photos.retarget import MIRROR

ACTIONS = ("undo", "redo", "mirror", "save")
STYLE = """
canvas { width: 100%; max-width: 340px; touch-action: none; cursor: grab; }
.actions { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; margin: 8px 0; }
.actions button { margin: 0; padding: 4px 12px; border: 1px solid; border-radius: 6px; }
.actions button:disabled { opacity: 0.4; }
"""


def as_address(picture: Image.Image | None) -> str:
    """A picture as a data address, for the editor to show below the joints; empty without one.

    It is no larger than the editor's canvas.
    """
    if picture is None:
        return ""
    content = BytesIO()
    small = picture.convert("RGB")
    small.thumbnail((ASPECT_WIDTH, ASPECT_HEIGHT))
    small.save(content, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


def traced(wanted: bool, source: Image.Image | None) -> gr.HTML:
    """The editor with the person's photo below the joints, or without."""
    return gr.HTML(photo=as_address(source) if wanted else "")


def retraced(wanted: bool, source: Image.Image | None) -> gr.HTML | dict[str, Any]:
    """The editor when the person has changed: another photo, if it is the person's that is traced.

    If not, a photo that the pose was taken from stays.
    """
    return traced(wanted, source) if wanted else gr.skip()


def pose_editor(joints: list[list[int]]) -> gr.HTML:
    """A canvas with joints to drag; its value is JSON, read by `parse_pose`."""
    buttons = "".join(
        f'<button type="button" data-do="{action}">{action.title()}</button>' for action in ACTIONS
    )
    return gr.HTML(
        json.dumps(joints),
        html_template=f'<canvas width="{ASPECT_WIDTH}" height="{ASPECT_HEIGHT}" tabindex="0" '
        'role="application" aria-label="The pose: 18 joints"></canvas>'
        f'<div class="actions">{buttons}</div><p class="note" aria-live="polite"></p>'
        "<p>Drag a joint; double-click removes or adds one. On the keyboard, Page Up and Page Down "
        "choose a joint, arrow keys move it, and Ctrl+Z undoes.</p>",
        css_template=STYLE,
        js_on_load=files("xmdpt.demo").joinpath("editor.js").read_text(),
        limbs=[list(limb) for limb in LIMBS],
        colors=["rgb({}, {}, {})".format(*color[::-1]) for color in COLORS],
        names=[name.replace("_", " ") for name in JOINTS],
        other_side=MIRROR,
        photo="",
        elem_id="editor",
    )
