"""The notebook that imports nothing of the package: its parts are the package's."""

import json

import matplotlib.pyplot as plt
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from helpers.repository import ROOT

from xmdpt import diffusion, flow
from xmdpt.model import XMDPTTransformer2DModel

PATH = ROOT / "notebooks/walkthrough/standalone.ipynb"


def code_before(last: str) -> str:
    """The code up to the cell `last`, as a module."""
    cells = [c for c in json.loads(PATH.read_text())["cells"] if c["cell_type"] == "code"]
    names = [cell["id"] for cell in cells]
    chosen = cells[: names.index(last) + 1]
    return "\n".join("".join(cell["source"]) for cell in chosen).replace("%matplotlib inline", "")


@pytest.fixture(scope="module")
def parts():
    """What the notebook defines before it trains."""
    names = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plt, "show", plt.close)
        exec(code_before("diffusion"), names)
    return names


@pytest.fixture(scope="module")
def models(parts):
    """The notebook's network and the package's, with the same random weights."""
    torch.manual_seed(0)
    theirs = XMDPTTransformer2DModel(
        sample_size=16, in_channels=3, patch_size=4, hidden_size=64, depth=3, num_heads=2,
        decode_layers=1, mask_ratio=0.3, pose_tokens=16, pose_width=64, source_tokens=16,
        source_width=64,
    )  # fmt: skip
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    ours = parts["XMDPT"]()
    ours.load_state_dict(theirs.state_dict())
    return ours.eval(), theirs.eval()


@torch.no_grad()
def test_the_network_is_the_packages(parts, models):
    ours, theirs = models
    source, pose, target = parts["draw_pairs"](3)
    y = ours.condition(source, pose)
    tokens = parts["encode"](pose), parts["encode"](source)
    torch.testing.assert_close(y, theirs.encode_condition(*tokens, source), rtol=1e-4, atol=1e-4)
    t, mask_noise = torch.tensor([3, 400, 999]), torch.rand(3, 16)
    plain = ours(target, t, y), theirs(target, t, y).sample
    masked = (
        ours.masked(target, t, y, source, mask_noise),
        theirs(target, t, y, source, mask_noise).sample,
    )
    for one, other in (plain, masked):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert (plain[0] - masked[0]).abs().max() > 0.01


@torch.no_grad()
def test_the_diffusion_is_the_packages(parts):
    t, noise = torch.tensor([0.0, 500.0, 1000.0]), torch.randn(3, 3, 16, 16)
    clean = torch.rand_like(noise)

    def exact(x_t, now):
        torch.testing.assert_close(x_t, parts["add_noise"](clean, noise, t))
        return torch.cat([noise - clean, noise], dim=1)

    assert flow.flow_losses(exact, clean, t, noise)["mse"].abs().max() == 0
    for now in (0, 700, 999):
        weight = parts["guidance_weight"](now, 2.0)
        assert weight == pytest.approx(
            float(diffusion.guidance_weight(torch.tensor(float(now)), 2.0, 0.01)), abs=1e-5
        )


@torch.no_grad()
def test_drawing_is_eulers_method_as_diffusers_has_it(parts, models):
    ours, _ = models
    y, noise = torch.randn(3, 64), torch.randn(3, 3, 16, 16)
    scheduler, x = FlowMatchEulerDiscreteScheduler(), noise
    scheduler.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25])
    for now in scheduler.timesteps:
        both = ours(torch.cat([x, x]), now.expand(6), torch.cat([y, 0 * y]))
        output = diffusion.guide(*both.chunk(2), diffusion.guidance_weight(now, 2.0, 0.01))
        x = scheduler.step(output[:, :3], now, x).prev_sample
    drawn = parts["draw"](ours, y, noise, steps=4, scale=2.0)
    torch.testing.assert_close(drawn, x, rtol=1e-3, atol=1e-3 * float(x.abs().max()))


def test_it_imports_nothing_of_the_package():
    assert "import xmdpt" not in PATH.read_text() and "from xmdpt" not in PATH.read_text()


def test_a_skeleton_says_nothing_of_who_it_is(parts):
    joints = parts["draw_poses"](2)
    drawn = parts["skeleton"](joints)
    one, other = (parts["photo"](parts["draw_people"](2), joints) for _ in range(2))
    assert torch.equal(drawn, parts["skeleton"](joints)) and not torch.equal(one, other)
    assert ((one < 0.99).any(1) == (other < 0.99).any(1)).float().mean() > 0.97, "same outline"
