"""The small weights: a finished part is kept only for the settings that it was made with."""

import hashlib
from pathlib import Path

import pytest
from helpers.networks import make_pipeline

from xmdpt.config import ConfigError, load_config
from xmdpt.presets import Learned
from xmdpt.support.files import fingerprint, write_json
from xmdpt.training.pretrain import NOTE, check_parts, parts_of, write_over
from xmdpt.training.run import weights_digest
from xmdpt.weights.load import load_pipeline

CONFIG = load_config("data/pretrained/pretrain.yaml", "base_b")


def changed(section, **values):
    part = getattr(CONFIG, section).model_copy(update=values)
    return parts_of(CONFIG.model_copy(update={section: part}), "base_b")


@pytest.fixture
def made(tmp_path, monkeypatch):
    """The folders of all parts, as a whole call leaves them."""
    monkeypatch.chdir(tmp_path)
    parts = parts_of(CONFIG, "base_b")
    check_parts(parts)
    for folder in parts:
        folder.mkdir(parents=True)
    return list(parts)


def refused(parts):
    with pytest.raises(ConfigError, match="delete or move") as caught:
        check_parts(parts)
    return str(caught.value).partition(": ")[0].split(", ")


def test_the_same_settings_go_on(made):
    check_parts(parts_of(CONFIG, "base_b"))
    check_parts(changed("train", log_every=50, save_every=50))
    check_parts(changed("sample", num_inference_steps=3))


def test_a_change_names_what_depends_on_it(made):
    people, vae, features, run = map(str, made)
    rendered = CONFIG.data.rendered.model_copy(update={"views": 2})
    assert refused(changed("data", rendered=rendered)) == [people, vae, features, run]
    elsewhere = CONFIG.data.rendered.model_copy(update={"world": "wide"})
    assert refused(changed("data", rendered=elsewhere)) == [people, vae, features, run]
    assert refused(changed("vae", ema_decay=0.9)) == [vae, features, run]
    assert refused(changed("features", storage="fp8")) == [features, run]
    assert refused(changed("train", learning_rate=1e-5)) == [run]
    assert refused(changed("model", depth=3)) == [run]


def test_people_from_before_there_were_worlds_are_known():
    settings = CONFIG.data.rendered.model_dump(exclude={"world"})
    [people, *_] = parts_of(CONFIG, "base_b").values()
    assert people == fingerprint(settings, CONFIG.seed)


def test_other_weights_at_the_start_are_other_settings(tmp_path):
    """All rounds write to one folder, and each but the first begins with what lies there."""
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    names = []
    for content in (b"first round", b"first round, trained anew"):
        file.write_bytes(content)
        for section in ("vae", "train"):
            names.append([*changed(section, init=str(tmp_path)).values()])
    assert [a == b for a, b in zip(names[0], names[2], strict=True)] == [True, False, False, False]
    assert [a == b for a, b in zip(names[1], names[3], strict=True)] == [True, True, True, False]


def test_a_finished_round_knows_itself_though_it_wrote_over_its_start(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "small/diffusion_pytorch_model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"start")
    begun = changed("train", init="small")
    [work] = {folder.parent for folder in begun}
    start, result = weights_digest("small"), hashlib.sha256(b"result").hexdigest()
    write_json(work / NOTE, {"start": [None, start], "result": [None, result]})
    weights.write_bytes(b"result")
    assert changed("train", init="small") == begun
    weights.write_bytes(b"an earlier round, trained anew")
    assert changed("train", init="small") != begun


def test_new_weights_keep_the_card_and_no_network_of_the_old(tiny_vae, tmp_path):
    out, old = tmp_path / "small", make_pipeline(tiny_vae)
    old.register_modules(turbo=old.transformer)
    old.register_to_config(turbo_scale=2.0, turbo_timesteps=[999, 700, 300])
    old.save_pretrained(out)
    (out / "README.md").write_text("the card")
    write_over(make_pipeline(tiny_vae), out)
    there = {path.name for path in out.iterdir()}
    assert there == {"README.md", "model_index.json", "scheduler", "transformer", "vae"}
    pipe = load_pipeline(out)
    assert pipe.turbo is None and pipe.learned == Learned()


def test_what_was_moved_away_is_made_anew(made):
    parts = changed("model", depth=3)
    made[-1].rename("elsewhere")
    check_parts(parts)
    made[-1].mkdir()
    check_parts(parts)
    assert refused(parts_of(CONFIG, "base_b")) == [str(made[-1])]


def test_a_part_of_unknown_settings_is_refused(made):
    made[1].with_name("vae.settings").unlink()
    assert refused(parts_of(CONFIG, "base_b")) == [str(made[1])]
    assert Path(made[0]).is_dir()


def people_of(path):
    people = load_config(path).data.rendered
    return people and range(people.first_identity, people.first_identity + people.identities)


@pytest.mark.parametrize(
    "path", sorted(Path("data/pretrained").glob("*.yaml")), ids=lambda p: p.stem
)
def test_no_profile_has_people_that_the_weights_were_trained_on(path):
    mine = people_of(path)
    others = [people_of(profile) for profile in sorted(Path("profiles").glob("*.yaml"))]
    assert sum(other is not None for other in others) >= 3
    for other in filter(None, others):
        assert mine.stop <= other.start or other.stop <= mine.start
