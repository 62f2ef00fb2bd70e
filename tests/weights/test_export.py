"""Folders that diffusers loads without xmdpt: a run's weights, code and model card."""

import ast
import json
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers.networks import assert_same_tensors, make_model, make_pipeline
from helpers.people import SIZE, body
from helpers.repository import ROOT
from typer.testing import CliRunner

from xmdpt import load_pipeline
from xmdpt.cli import app
from xmdpt.config import ConfigError
from xmdpt.extensions.context import ContextTransformer2DModel
from xmdpt.support.arguments import BadInput
from xmdpt.weights.export import export_pipeline, new_folder

BARE = """
import sys
sys.path[:] = [p for p in sys.path if p != {root!r}]
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "xmdpt":
            raise ModuleNotFoundError("xmdpt is not installed", name="xmdpt")
sys.meta_path.insert(0, Absent())
import numpy as np, torch
from diffusers import DiffusionPipeline
pipe = DiffusionPipeline.from_pretrained({folder!r}, trust_remote_code=True)
pipe.set_progress_bar_config(disable=True)
inputs = np.load({inputs!r})
made = pipe(inputs["photo"], inputs["pose"], num_inference_steps=2,
            generator=torch.Generator().manual_seed(0), output_type="latent").images
assert "xmdpt" not in sys.modules
np.save({out!r}, made.numpy())
"""


def example_of(folder: Path) -> dict[str, object]:
    """How the example of a model card draws: its settings, without what is drawn and the noise."""
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)[1]
    call = next(
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "pipe"
    )
    given = {one.arg: one.value for one in call.keywords}
    names = given.keys() - {"source", "pose", "generator"}
    return {name: ast.literal_eval(given[name]) for name in names}


def test_export_loads_where_xmdpt_is_not_installed(tiny_vae, tmp_path):
    pipe = make_pipeline(tiny_vae)
    export_pipeline(pipe, tmp_path / "out", origin="Random numbers.")
    photo = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    pose = body(0.18, (4, 4))
    np.savez(tmp_path / "inputs.npz", photo=photo, pose=pose)
    expected = pipe(
        photo, pose, num_inference_steps=2, generator=torch.Generator().manual_seed(0),
        output_type="latent",
    ).images  # fmt: skip
    code = BARE.format(
        root=str(ROOT), folder=str(tmp_path / "out"),
        inputs=str(tmp_path / "inputs.npz"), out=str(tmp_path / "made.npy"),
    )  # fmt: skip
    environment = {
        "HF_HOME": str(tmp_path / "home"),
        "PATH": "/usr/bin",
        "OMP_NUM_THREADS": str(torch.get_num_threads()),  # sums depend on it
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    torch.testing.assert_close(torch.from_numpy(np.load(tmp_path / "made.npy")), expected)
    ours = load_pipeline(tmp_path / "out", "cpu")
    assert_same_tensors(ours.transformer.state_dict(), pipe.transformer.state_dict())
    assert type(ours.scheduler) is type(pipe.scheduler)
    card = (tmp_path / "out/README.md").read_text()
    assert "Random numbers." in card and 'preset="exact"' in card and "manual_seed(0)" in card
    with pytest.raises(ValueError, match="already exists"):
        export_pipeline(pipe, tmp_path / "out")
    with pytest.raises(ValueError, match="one word"):
        export_pipeline(pipe, tmp_path / "other", license="mine: all\n")


def test_a_card_draws_with_the_timesteps_that_the_weights_have_learned(tiny_vae, tmp_path):
    pipe = make_pipeline(tiny_vae)
    pipe.register_to_config(fast_timesteps=[999, 400, 90])
    export_pipeline(pipe, tmp_path / "out")
    assert example_of(tmp_path / "out") == {"preset": "fast"}


def test_an_extension_of_the_network_is_exported_with_what_it_extends(
    tiny_vae, tmp_path, monkeypatch
):
    """As one file that asks for nothing of the package."""
    pipe = make_pipeline(tiny_vae)
    pipe.transformer = ContextTransformer2DModel.from_config(dict(pipe.transformer.config))
    export_pipeline(pipe, tmp_path / "out")
    index = json.loads((tmp_path / "out/model_index.json").read_text())
    stem, name = index["transformer"]
    code = (tmp_path / f"out/transformer/{stem}.py").read_text()
    assert "from xmdpt" not in code and "import xmdpt" not in code
    alone = types.ModuleType("alone")
    monkeypatch.setitem(sys.modules, "alone", alone)  # where dataclasses look
    exec(compile(code, "alone", "exec"), vars(alone))
    theirs = vars(alone)[name].from_pretrained(tmp_path / "out/transformer")
    ours = load_pipeline(tmp_path / "out", "cpu").transformer
    assert type(ours) is ContextTransformer2DModel and not isinstance(theirs, type(ours))
    for network in (theirs, ours):
        assert_same_tensors(network.state_dict(), pipe.transformer.state_dict())


def test_a_trained_run_is_exported_with_its_encoders(tiny_vae, tmp_path, monkeypatch):
    settings = Path("profiles/smoke.yaml").read_text()
    monkeypatch.chdir(tmp_path)
    model = make_model()
    settings = yaml.safe_load(settings)
    settings["features"]["source_encoder"] = "dinov2"
    settings["model"] = {name: model.config[name] for name in settings["model"]}
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    for folder in ("base_b/main", "no_mask/ablation"):
        model.save_pretrained(f"models/{folder}")
    tiny_vae.save_pretrained("models/vae")
    result = CliRunner().invoke(app, ["export", "out/mine", "--run", "base_b"])
    assert result.exit_code == 0, result.output
    drawing = {"num_inference_steps": 3, "guidance_scale": 2.0, "guidance_power": 0.01}
    assert example_of(Path("out/mine")) == drawing
    card = Path("out/mine/README.md").read_text()
    assert "`base_b` (X-MDPT-B), checkpoint `main`" in card and "profile smoke" in card
    pipe = load_pipeline("out/mine", "cpu")
    assert_same_tensors(pipe.transformer.state_dict(), model.state_dict())
    assert (pipe.config.source_encoder, pipe.config.pose_encoder) == (
        "dinov2",
        "efficientnet_lite0",
    )
    for arguments, message in (
        (["--run", "base_b", "--checkpoint", "ablation"], "dvc repro train@base_b"),
        (["--run", "nobody"], "nobody"),
        (["--run", "no_mask", "--checkpoint", "ablation"], "trained with another mip_attention"),
        (["--run", "base_b", "--weights", "out/mine"], "do not go together"),
    ):
        error = CliRunner().invoke(app, ["export", "out/other", *arguments]).exception
        assert isinstance(error, BadInput | ConfigError)
        assert message in str(error)


def test_a_failed_folder_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out") as partial:
        (partial / "half").write_text("")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
