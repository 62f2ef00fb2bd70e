"""Where networks compute, and in which format: as in training, and on a GPU where there is one."""

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from diffusers.pipelines import pipeline_utils
from helpers.networks import make_model, make_pipeline, tiny_dinov2
from helpers.people import SIZE, body
from helpers.repository import NOTEBOOKS, code_of

from xmdpt import XMDPTPipeline
from xmdpt.config import ConfigError, load_config
from xmdpt.features.make import Encoders
from xmdpt.lessons.people import features_of
from xmdpt.lessons.studies import with_transformer
from xmdpt.support.pictures import to_signed
from xmdpt.training.device import accelerator
from xmdpt.training.timesteps import Guided, evenly_in_log_snr, integrate
from xmdpt.weights.export import export_pipeline
from xmdpt.weights.load import load_pipeline
from xmdpt.weights.runs import load_run

POSE = body(0.18, (4, 4))
PHOTO = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


# A GPU where there is one


@pytest.mark.parametrize("there, place", [(True, "cuda"), (False, "cpu")])
def test_a_run_is_loaded_onto_the_gpu(tiny_vae, tmp_path, monkeypatch, there, place):
    tiny_vae.save_pretrained(tmp_path / "vae")
    model = make_model(mip_attention="none")
    model.save_pretrained(tmp_path / "base_b" / "main")
    places = []
    monkeypatch.setattr(XMDPTPipeline, "to", lambda pipe, to: places.append(to) or pipe)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    config = load_config("profiles/smoke.yaml")
    features = config.features.model_copy(update={"precision": "bf16"})
    settings = config.model.model_copy(
        update={name: model.config.get(name, value) for name, value in config.model}
    )
    config = config.model_copy(update={"features": features, "model": settings})
    pipeline = load_run(config, "base_b", "main", tmp_path)
    assert places == [place]
    assert pipeline.config.encoder_precision == "bf16"
    assert pipeline.config.source_encoder == config.features.source_encoder


def test_a_checkpoint_that_a_run_never_gets_is_named(tmp_path):
    config = load_config("profiles/smoke.yaml", "no_mask")
    with pytest.raises(ConfigError, match=r"no_mask: has no checkpoint 'main' .*, only ablation"):
        load_run(config, "no_mask", "main", tmp_path)


def test_stages_load_runs_in_one_place():
    stages = [path for path in NOTEBOOKS if path.parent.name in ("pipeline", "paper")]
    assert len(stages) > 20
    assert not [path.name for path in stages if "XMDPTPipeline(" in code_of(path)]


@pytest.fixture
def without_memory(monkeypatch):
    """PyTorch's device `meta` in place of a GPU: it refuses operands on the CPU as well."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # knows no such device
    monkeypatch.setattr(pipeline_utils, "empty_device_cache", lambda _: None)  # nor does this
    return torch.device("meta:0")


def test_inputs_follow_the_pipeline_and_generators_stay_on_the_cpu(tiny_vae, without_memory):
    pipeline = make_pipeline(tiny_vae).to(without_memory)
    generators = [torch.Generator().manual_seed(seed) for seed in range(2)]
    condition = pipeline.encode_condition(PHOTO, [POSE, POSE[:, ::-1]], generators)
    assert condition.device.type == "meta" and len(condition) == 2
    assert pipeline.decode(torch.zeros(1, 4, 8, 8, device="meta")).device.type == "meta"


def test_a_teacher_draws_where_its_network_is(tiny_vae, without_memory):
    pipeline = make_pipeline(tiny_vae).to(without_memory)
    condition, noise = (torch.zeros(2, *shape, device="meta") for shape in ((32,), (4, 8, 8)))
    t = evenly_in_log_snr(pipeline, 3)
    with torch.no_grad():
        assert integrate(Guided(pipeline), condition, noise, t).device.type == "meta"


def test_one_network_at_a_time_is_on_the_gpu_when_offloading(tiny_vae, without_memory, monkeypatch):
    pipeline = make_pipeline(tiny_vae)
    pipeline.enable_model_cpu_offload(device=without_memory)
    there, order, move = {}, [], torch.nn.Module.to

    def watched(network, place=None, **options):
        if place is None:
            return move(network, **options)
        if torch.device(place).type == "meta":
            there[id(network)] = type(network).__name__
            order.append([*there.values()])
            return move(network, place, **options)
        there.pop(id(network), None)
        return network.to_empty(device=place)  # nothing can be copied back

    monkeypatch.setattr(torch.nn.Module, "to", watched)
    pipeline.encode_condition(PHOTO, POSE)
    encoder = "EfficientNetTokens"
    assert order == [["AutoencoderKL"], [encoder], [encoder], ["XMDPTTransformer2DModel"]]


# The format of the tokens


@pytest.fixture
def dinov2(tmp_path):
    tiny_dinov2().save_pretrained(tmp_path / "dinov2")
    return str(tmp_path / "dinov2")


def test_tokens_are_those_of_training(tiny_vae, dinov2):
    pixels = to_signed(PHOTO[None])
    tokens = {}
    for precision in ("bf16", "fp32"):
        pipeline = make_pipeline(tiny_vae, dinov2, dinov2, False, precision)
        with torch.autocast("cpu", enabled=False):
            tokens[precision] = pipeline.encode_tokens("photo", pixels)
        settings = load_config("profiles/smoke.yaml").features.model_copy(
            update={"source_encoder": dinov2, "pose_encoder": dinov2, "precision": precision}
        )
        trained = Encoders.load(tiny_vae, settings)(PHOTO[None], PHOTO[None])
        assert torch.equal(tokens[precision], trained["source_tokens"])
    assert not torch.equal(tokens["bf16"], tokens["fp32"])


def test_settings_go_with_the_pipeline(tiny_vae, tmp_path):
    names, fast = ("efficientnet_lite0", "efficientnet_lite0"), [999, 500, 100]
    pipeline = make_pipeline(tiny_vae, *names, False, "bf16", fast)
    pipeline.save_pretrained(tmp_path / "saved")
    export_pipeline(pipeline, tmp_path / "exported")
    for name in ("saved", "exported"):
        loaded = load_pipeline(tmp_path / name, "cpu")
        assert loaded.config.encoder_precision == "bf16"
        assert features_of(loaded).precision == "bf16"
        assert loaded.config.fast_timesteps == fast
        other = with_transformer(loaded, loaded.transformer)
        assert other.config.encoder_precision == "bf16"
        assert other.config.fast_timesteps is None, "they were learned for other weights"


def test_pipelines_saved_before_compute_tokens_in_fp32(tiny_vae, tmp_path):
    export_pipeline(make_pipeline(tiny_vae), tmp_path / "old")
    path = tmp_path / "old/model_index.json"
    index = json.loads(path.read_text())
    del index["encoder_precision"]
    path.write_text(json.dumps(index))
    assert load_pipeline(tmp_path / "old", "cpu").config.encoder_precision == "fp32"


def test_processes_send_each_other_no_constants():
    assert accelerator().ddp_handler.broadcast_buffers is False


def test_the_token_encoders_go_along_with_the_pipeline(tiny_vae):
    pipeline = make_pipeline(tiny_vae)
    pipeline.encode_condition(PHOTO, POSE)
    pipeline.to("meta")
    assert len(pipeline._encoders) == 2
    for encoder in pipeline._encoders.values():
        assert {one.device.type for one in encoder.parameters()} == {"meta"}
