"""Whole runs: checkpoints, exact resuming, other settings on the way, where they start from."""

import os
import shutil
import signal

import pandas as pd
import pytest
import torch
from helpers.networks import make_model

from xmdpt.config import ConfigError
from xmdpt.support.notices import NOTICES, Stopped
from xmdpt.training.run import train_run, warm_start
from xmdpt.training.train import Trainer

WEIGHTS = "diffusion_pytorch_model.safetensors"


def stop_at(step):
    def on_log(row):
        if row["step"] == step:
            raise KeyboardInterrupt

    return on_log


stop_at_five = stop_at(5)  # after the checkpoint of step 2 and the state of step 3


@pytest.fixture
def heeded():
    """After a notice a process ignores further ones; the tests' own process is not to."""
    yield
    for number in NOTICES:
        signal.signal(number, signal.SIG_DFL)


def trained_with(config, **settings):
    return config.model_copy(update={"train": config.train.model_copy(update=settings)})


@pytest.fixture
def state(features, config, tmp_path):
    """The state of step 3 that a run in `tmp_path`/run left when it was stopped."""
    with pytest.raises(KeyboardInterrupt):
        train_run(config, features, tmp_path / "run", stop_at_five)
    (path,) = tmp_path.glob(".run.partial-*/state.pt")
    return path


def test_resuming_equals_training_on(features, config, state, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "run"
    history = train_run(config, features, whole)
    assert not stopped.exists()
    seen, found = [], []
    resumed = train_run(config, features, stopped, seen.append, on_found=found.append)
    assert [row["step"] for row in found] == [1, 2, 3]
    assert [row["step"] for row in seen] == [4, 5, 6]
    assert [*resumed["step"]] == [row["step"] for row in found + seen]
    pd.testing.assert_frame_equal(resumed, history)
    for checkpoint in ("ablation", "main"):
        file = f"{checkpoint}/{WEIGHTS}"
        assert (stopped / file).read_bytes() == (whole / file).read_bytes()


def test_a_cache_without_training_pictures_is_refused(cached, data, config, tmp_path):
    missing, every = sorted(data.pictures("train")), len(data.pictures("train"))
    few = cached(data.pictures("test"))
    with pytest.raises(ConfigError, match=f"lacks {missing[0]}, {every} of {every} training"):
        train_run(config, few, tmp_path / "run")
    assert not [*tmp_path.iterdir()]


def weights_of(out):
    return [(out / name / WEIGHTS).read_bytes() for name in ("ablation", "main")]


@pytest.mark.parametrize("notice", NOTICES)
@pytest.mark.parametrize("at", [1, 4])  # before the first checkpoint; between two states
def test_a_notice_saves_the_step_and_the_same_call_goes_on(
    features, config, tmp_path, heeded, notice, at
):
    rarely = trained_with(config, save_every=6, log_every=3)
    history = train_run(rarely, features, tmp_path / "whole")
    steps = []

    class Noticed(Trainer):
        def _draw(self, step):
            if step == at:
                os.kill(os.getpid(), notice)
            return super()._draw(step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xmdpt.training.run.Trainer", Noticed)
        with pytest.raises(Stopped, match=f"saved at step {at + 1} of 6"):
            train_run(rarely, features, tmp_path / "run")
    resumed = train_run(rarely, features, tmp_path / "run", lambda row: steps.append(row["step"]))
    assert steps == [step for step in (3, 6) if step > at + 1]
    pd.testing.assert_frame_equal(resumed, history)  # the rows are means of both parts
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "whole")


def test_a_damaged_state_has_an_older_to_fall_back_to(features, config, tmp_path, capsys):
    every = trained_with(config, save_every=1)
    train_run(every, features, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_run(every, features, tmp_path / "run", stop_at_five)
    (work,) = tmp_path.glob(".run.partial-*")
    content = bytearray((work / "state.pt").read_bytes())
    content[len(content) // 2] ^= 1  # one bit of a tensor
    (work / "state.pt").write_bytes(content)
    steps = []
    train_run(every, features, tmp_path / "run", lambda row: steps.append(row["step"]))
    assert steps == [4, 5, 6]
    said = capsys.readouterr().err
    assert f"{work}/state.pt: " in said and "going on from the state before" in said
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "whole")


def test_a_checkpoint_that_is_gone_or_changed_is_made_again_or_named(
    features, config, state, tmp_path
):
    """Where the state before is of an earlier step, its checkpoint is still to come."""
    work = state.parent
    train_run(config, features, tmp_path / "whole")
    weights = work / "ablation" / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ConfigError, match=r"ablation: this checkpoint is .* delete .*partial"):
        train_run(config, features, tmp_path / "run")
    shutil.rmtree(weights.parent)
    before = state.with_stem("state-before")
    every = trained_with(config, save_every=1)
    with pytest.raises(KeyboardInterrupt):
        train_run(every, features, tmp_path / "early", stop_at(2))
    (early,) = tmp_path.glob(".early.partial-*/state.pt")
    shutil.copy(early, before)  # of step 1
    steps = []
    train_run(config, features, tmp_path / "run", lambda row: steps.append(row["step"]))
    assert steps == [2, 3, 4, 5, 6]
    assert weights_of(tmp_path / "run") == weights_of(tmp_path / "whole")


def test_a_state_that_lacks_something_says_what(features, config, state, tmp_path):
    content = torch.load(state, weights_only=True)
    del content["optimizer"]
    torch.save(content, state)
    with pytest.raises(ConfigError, match=r"state.pt: .* lacks optimizer; delete .*partial"):
        train_run(config, features, tmp_path / "run")


def test_a_finished_run_that_is_deleted_comes_back(features, config, tmp_path):
    """DVC deletes what it could not record before the next try."""
    out = tmp_path / "run"
    history = train_run(config, features, out, keep=True)
    files = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert not [path for path in files if path.name == "state.pt"]
    shutil.rmtree(out)
    steps, found = [], []
    again = train_run(config, features, out, steps.append, keep=True, on_found=found.append)
    assert steps == [] and [row["step"] for row in found] == [*history["step"]]
    pd.testing.assert_frame_equal(again, history)
    assert {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()} == files


def test_a_run_goes_on_from_a_state_with_other_settings(features, config, state, tmp_path):
    out = tmp_path / "run"
    changed = trained_with(
        config, resume=str(state), grad_clip=1e-3, checkpoints={"ablation": 2, "main": 7}
    )
    steps = []
    history = train_run(changed, features, out, lambda row: steps.append(row["step"]))
    assert steps == [4, 5, 6, 7]
    assert history["step"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    kept = f"ablation/{WEIGHTS}"
    assert (out / kept).read_bytes() == (state.parent / kept).read_bytes()
    assert state.exists(), "what other settings left is not deleted"


def test_a_state_that_does_not_fit_is_refused(features, config, state, tmp_path):
    other = config.model.model_copy(update={"mask_ratio": 0.5})
    alone, broken = tmp_path / "alone/state.pt", tmp_path / "broken.pt"
    alone.parent.mkdir()
    alone.write_bytes(state.read_bytes())
    broken.write_bytes(state.read_bytes()[:1000])
    on = trained_with(config, resume=str(state))
    for refused, message in (
        (trained_with(on, checkpoints={"ablation": 2, "main": 3}), "nothing was kept at 3"),
        (trained_with(on, checkpoints={"ablation": 1, "main": 6}), "kept it at step 2"),
        (on.model_copy(update={"model": other}), "a model with another mask_ratio;"),
        (trained_with(config, resume=str(alone)), "alone/ablation is missing"),
        (trained_with(config, resume=str(broken)), "not a training state"),
        (trained_with(config, resume=str(tmp_path / "absent.pt")), "no such file"),
    ):
        with pytest.raises(ConfigError, match=message):
            train_run(refused, features, tmp_path / "other")


def test_a_training_seed_of_its_own_stands_for_the_seed(features, config, tmp_path):
    def losses(name, seed, own):
        train = config.train.model_copy(update={"seed": own, "checkpoints": {"main": 2}})
        run = config.model_copy(update={"seed": seed, "train": train})
        return train_run(run, features, tmp_path / name)["loss"].tolist()

    assert losses("own", 0, 7) == losses("profile's", 7, None)
    assert losses("other", 0, 8) != losses("again", 0, None)


def test_source_tokens_on_the_fly_train_the_same(cached, config, tmp_path):
    """Stored in fp32 or made from stored photos: the same losses, up to the batches of sums."""
    fp32 = trained_with(config, precision="fp32")
    losses = [
        train_run(fp32, cached(storage="fp32", source_tokens=tokens), tmp_path / tokens)["loss"]
        for tokens in ("stored", "on_the_fly")
    ]
    pd.testing.assert_series_equal(*losses, rtol=1e-4)


def test_warm_start_lets_mipnet_alone_differ(tmp_path):
    source = make_model(mip_attention="none")
    source.save_pretrained(tmp_path)
    model = make_model(randomize=False)
    fresh = warm_start(model, str(tmp_path))
    assert fresh
    assert all(name.startswith("mipnet.") for name in fresh)
    assert torch.equal(model.pos_embed, source.pos_embed)
    with pytest.raises(ConfigError, match="does not fit"):
        warm_start(make_model(aggregation="concat"), str(tmp_path))
    with pytest.raises(ConfigError, match="holds no model"):
        warm_start(model, str(tmp_path / "absent"))


def test_a_checkpoint_that_changes_later_is_not_taken_for_whole(features, config, tmp_path):
    every = trained_with(config, save_every=1)

    def spoil(row):
        if row["step"] == 4:  # it was kept at step 2
            (path,) = tmp_path.glob(f".run.partial-*/ablation/{WEIGHTS}")
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)
        if row["step"] == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(every, features, tmp_path / "run", spoil)
    with pytest.raises(ConfigError, match="ablation: this checkpoint is missing or damaged"):
        train_run(every, features, tmp_path / "run")
