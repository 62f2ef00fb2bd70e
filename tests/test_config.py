"""Settings: mistakes are named, experiments are differences."""

from pathlib import Path

import pytest
import yaml

from xmdpt.config import ConfigError, load_config

TEXT = Path("profiles/smoke.yaml").read_text()


def written(tmp_path, change):
    tree = yaml.safe_load(TEXT)
    change(tree)
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c["train"].update(learning_rat=1), "train.learning_rat: is not a setting"),
        (lambda c: c["train"].update(learning_rate="fast"), "train.learning_rate"),
        (lambda c: c["train"].update(save_every=3, log_every=2), "save_every must be a multiple"),
        (lambda c: c["model"].pop("depth"), "model.depth"),
        (lambda c: c["model"].update(mip_attention="both"), "model.mip_attention"),
        (lambda c: c["data"].update(size=100), "data: .*size must be a multiple of 32"),
        (lambda c: c["data"]["rendered"].update(test_identities=5), "rendered.*must leave some"),
        (lambda c: c["data"]["rendered"].update(world="mars"), "rendered.world: .*'wide'"),
        (lambda c: c["data"].update(views=3), r"data\.views: is not a setting"),
        (lambda c: c["data"].update(root="data/raw"), "may contain the other"),
        (lambda c: c["data"].update(root=c["data"]["raw"] + "/index"), "may contain the other"),
        (lambda c: c["model"].update(num_heads=7), "multiple of num_heads"),
        (lambda c: c["train"].update(checkpoints={}), "train.checkpoints"),
        (lambda c: c["train"].update(checkpoints={"ablation": 1}), "'main' is not in train"),
        (lambda c: c["evaluate"].update(protocol="mine"), "evaluate.protocol"),
        (lambda c: c["sample"].update(num_inference_steps=1), "sample.num_inference_steps.* 2"),
        (lambda c: c["experiments"]["base_b"].update(model={"depth": 1}), "experiments.base_b: "),
        (lambda c: c["vae"].update(init=None), "vae: .*train_encoder must be true"),
        (
            lambda c: c["train"].update(init=None, ema_decay=0.9),
            r"train: .*ema_decay 0\.9 over 2 steps keeps 81% .*; 0\.2236 or less",
        ),
        (
            lambda c: c["vae"].update(init=None, train_encoder=True, steps=1600, ema_decay=0.999),
            r"vae: .*ema_decay 0\.999 over 1600 steps keeps 20% .*; 0\.9981 or less",
        ),
        (lambda c: c["features"].update(storage="int4"), "features.storage"),
        (lambda c: c.update(runs=["base_x"]), "'base_x' is not in experiments"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path, change, complaint):
    path = written(tmp_path, change)
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_config(path)
    assert str(path) in str(caught.value)


def test_an_experiment_is_a_difference(tmp_path):
    experiment = {
        "title": "deep",
        "model": {"depth": 9},
        "train": {"ema_decay": 0.25},
        "features": {"source_encoder": "colours"},
    }
    path = written(tmp_path, lambda c: c["experiments"].update(deep=experiment))
    base, deep = load_config(path, "base_b"), load_config(path, "deep")
    assert deep.model == base.model.model_copy(update={"depth": 9})
    assert deep.train == base.train.model_copy(update={"ema_decay": 0.25})
    assert deep.features == base.features.model_copy(update={"source_encoder": "colours"})


def test_the_decay_that_an_error_names_fits_and_a_start_may_be_kept(tmp_path):
    scratch = {"init": None, "ema_decay": 0.2236}  # the first checkpoint is at two steps
    assert load_config(written(tmp_path, lambda c: c["train"].update(scratch)))
    trained = {"ema_decay": 0.999}  # smoke starts from weights that are worth keeping
    assert load_config(written(tmp_path, lambda c: c["train"].update(trained)))


def test_the_first_checkpoint_is_to_be_no_untrained_one_either(tmp_path):
    early = {"init": None, "ema_decay": 0.4, "checkpoints": {"ablation": 1, "main": 4}}
    with pytest.raises(ConfigError, match=r"ema_decay 0\.4 over 1 steps keeps 40%"):
        load_config(written(tmp_path, lambda c: c["train"].update(early)))


def test_an_experiment_with_an_unknown_setting_is_refused(tmp_path):
    experiment = {"title": "odd", "model": {"width": 9}}
    path = written(tmp_path, lambda c: c["experiments"].update(odd=experiment))
    with pytest.raises(ConfigError, match=r"experiments\.odd: model\.width: is not a setting"):
        load_config(path, "odd")


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(ConfigError, match="xmdpt profile"):
        load_config(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="not YAML"):
        load_config(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_bytes("profile: é\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"params\.yaml: not UTF-8"):
        load_config(tmp_path / "params.yaml")


def test_exponents_without_a_point_are_numbers(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace("learning_rate: 1.0e-4", "learning_rate: 1e-4"))
    assert load_config(path).train.learning_rate == 1e-4


def leaves(tree, key=""):
    if not isinstance(tree, dict):
        return {key: tree}
    found = {}
    for name, value in tree.items():
        found |= leaves(value, f"{key}.{name}" if key else name)
    return found


@pytest.mark.parametrize(
    ("name", "run", "differences"),
    [
        (
            "paper-512",
            "size_l_512",
            {
                "data.size": 512,
                "model.hidden_size": 1024,
                "model.depth": 24,
                "model.num_heads": 16,
                "train.batch_size": 10,
                "train.checkpoints.main": 1_000_000,
                "sample.batch_size": 16,
                "evaluate.protocol": "cfld-512",
            },
        ),
        (
            "paper-features-s-s",
            "features_s_s",
            {
                "features.source_encoder": "facebook/dinov2-small",
                "features.pose_encoder": "facebook/dinov2-small",
                "train.checkpoints.ablation": 300_000,
            },
        ),
        (
            "paper-features-g-s",
            "features_g_s",
            {
                "features.pose_encoder": "facebook/dinov2-small",
                "train.checkpoints.ablation": 300_000,
            },
        ),
    ],
)
def test_profiles_beside_the_papers_differ_in_what_they_are_for(name, run, differences):
    """Whole files, that a change of one must not leave the others behind."""
    drop = {"profile", "runs", "experiments"}
    paper, other = (
        leaves(load_config(f"profiles/{file}.yaml").model_dump(exclude=drop))
        for file in ("paper", name)
    )
    checkpoints = load_config(f"profiles/{name}.yaml", run).train.checkpoints
    assert set(load_config(f"profiles/{name}.yaml").sample.checkpoints) == set(checkpoints)
    ignored = {f"{at}.checkpoints.{name}" for at in ("train", "sample")
               for name in ("ablation", "main")}  # fmt: skip
    changed = {key for key in paper.keys() | other.keys() if paper.get(key) != other.get(key)}
    assert changed - ignored == differences.keys() - ignored
    assert {key: other[key] for key in differences} == differences


def test_the_papers_profile_is_the_papers():
    config = load_config("profiles/paper.yaml")
    assert config.vae.steps == -(-77 * 48_674 // config.vae.batch_size)
    assert config.train.batch_size == 32
    assert config.train.learning_rate == 1e-4
    assert config.train.ema_decay == 0.9999
    sizes = {
        run: tuple(
            getattr(load_config("profiles/paper.yaml", run).model, name)
            for name in ("depth", "hidden_size", "num_heads")
        )
        for run in ("size_s", "base_b", "size_l")
    }
    assert sizes == {"size_s": (12, 384, 6), "base_b": (12, 768, 12), "size_l": (24, 1024, 16)}
    for run in config.experiments.keys() - {"base_b", "size_s", "size_l"}:
        assert load_config("profiles/paper.yaml", run).train.steps == 300_000
    known = {"base_b", "size_s", "size_l", "no_mask", "mdt", "mask_50", "mask_70",
             "attention_cross", "attention_cross_self", "canet_local", "canet_global"}  # fmt: skip
    assert set(config.experiments) == known


def test_the_last_checkpoint_is_the_longest_trained():
    config = load_config("profiles/smoke.yaml", "base_b")
    assert config.last_checkpoint == "main"
    swapped = config.sample.model_copy(update={"checkpoints": {"main": None, "ablation": 40}})
    assert config.model_copy(update={"sample": swapped}).last_checkpoint == "main"
    early = config.sample.model_copy(update={"checkpoints": {"ablation": 40}})
    assert config.model_copy(update={"sample": early}).last_checkpoint == "ablation"
