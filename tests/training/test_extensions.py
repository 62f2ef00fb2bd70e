"""Extensions of the network under the real training code: they learn, stop and go on."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.networks import assert_same_tensors

from xmdpt.config import ConfigError, load_config
from xmdpt.extensions.context import ContextTransformer2DModel
from xmdpt.features.cache import FeatureCache
from xmdpt.training.run import build_model, settings_key, train_run
from xmdpt.training.train import Trainer, draw_batch

WEIGHTS = "main/diffusion_pytorch_model.safetensors"


def changed(config, **model):
    return config.model_copy(update={"model": config.model.model_copy(update=model)})


@pytest.fixture
def context(config):
    """Settings of a tiny run with source tokens in context, by the recipe of its profile."""
    recipe = {"objective": "flow", "alignment": 0.5, "precision": "fp32"}
    train = config.train.model_copy(update=recipe)
    config = config.model_copy(update={"train": train})
    return changed(config, mip_attention="none", source_tokens_in_context=True)


def test_source_tokens_in_context_lower_the_loss(context, batches, features):
    torch.manual_seed(0)
    model = build_model(context, FeatureCache(features))
    start = model.type_embedding.detach().clone()
    changes = {"learning_rate": 3e-3, "precision": "bf16"}
    made = Trainer(model, batches, context.train.model_copy(update=changes))
    losses = [report.losses["mse"] for report in made.run(60)]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    assert not torch.equal(model.type_embedding, start)


@pytest.mark.slow
def test_a_step_with_source_tokens_is_one_graph(context, batches, features):
    """As `train.compile` needs it, without a compiler: the same losses and gradients."""
    torch.manual_seed(0)
    made = Trainer(build_model(context, FeatureCache(features)), batches, context.train)
    torch.nn.init.normal_(made.model.final_layer.linear.weight, std=0.1)
    compiled = torch.compile(made.module, backend="aot_eager", fullgraph=True)
    batch, found = draw_batch(batches, context.train, 16, 0), []
    for module in (made.module, compiled):
        losses = module(batch)
        losses["mse"].mean().backward()
        gradients = [p.grad.clone() for p in made.model.parameters() if p.grad is not None]
        found.append((losses["mse"].detach(), gradients))
        made.model.zero_grad()
    torch.testing.assert_close(*found)


def test_a_stop_changes_no_weight(context, features, tmp_path):
    def stop(row):
        if row["step"] == 5:
            raise KeyboardInterrupt

    history = train_run(context, features, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_run(context, features, tmp_path / "run", stop)
    resumed = train_run(context, features, tmp_path / "run")
    pd.testing.assert_frame_equal(resumed, history)
    assert (tmp_path / "run" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()


def test_a_state_is_not_taken_for_that_of_another_design(context, batches, features, tmp_path):
    models = [
        build_model(changed(context, source_tokens_in_context=on), FeatureCache(features))
        for on in (False, True)
    ]
    trainers = [Trainer(model, batches, context.train) for model in models]
    assert isinstance(models[1], ContextTransformer2DModel)
    for number in (0, 1):
        path = tmp_path / f"{number}.pt"
        trainers[number].save(path)
        with pytest.raises(ConfigError, match="a model with another source_tokens_in_context;"):
            trainers[1 - number].load(path)
    begun = {name: value.clone() for name, value in models[1].state_dict().items()}
    next(trainers[1].run(1))
    trainers[1].load(tmp_path / "1.pt")
    assert_same_tensors(models[1].state_dict(), begun)


def test_settings_without_an_extension_have_the_key_that_they_had(config):
    """So that what was begun before there was one goes on."""
    fields = dict.fromkeys(("source_tokens_in_context",), False)
    assert settings_key(changed(config, **fields), None) == settings_key(config, None)
    assert not fields.keys() & config.model.model_dump(exclude_defaults=True).keys()


def test_the_profile_compares_what_differs_in_the_extension_alone():
    base, plain, context, longer = (
        load_config("profiles/context.yaml", run)
        for run in ("base_b", "no_mask", "context", "no_mask_longer")
    )
    assert changed(plain, source_tokens_in_context=True).model == context.model
    assert plain.model == changed(base, mip_attention="none").model == longer.model
    assert base.train == plain.train == context.train
    for name in ("seed", "data", "vae", "features", "model", "train", "sample", "evaluate"):
        study = getattr(load_config("profiles/study.yaml"), name)
        assert getattr(base, name) == study, f"{name} is the study's"
