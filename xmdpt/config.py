"""The settings of a run: one typed tree that mirrors params.yaml; unknown keys are errors."""

import re
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

MIPAttention = Literal["none", "self", "cross", "cross_self", "self_cross"]
CANetSources = Literal["local", "global", "both"]
Aggregation = Literal["mlp", "add", "concat"]


class ConfigError(ValueError):
    """Settings that cannot be used; the message names the file and the key."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(Section):
    root: str
    """Folder in the layout of docs/architecture.md."""
    size: PositiveInt
    """Side in pixels of the squared picture that the networks see."""
    identities: int = Field(ge=2)
    test_identities: int = Field(ge=1)
    views: int = Field(ge=2)
    height: PositiveInt
    """Height in pixels of a rendered picture; the width is 11/16 of it."""
    samples_per_pixel: PositiveInt
    first_identity: int = Field(ge=0, default=0)


class VAEConfig(Section):
    init: str | None
    """Folder of a diffusers `AutoencoderKL` whose decoder is fine-tuned; null trains all of it."""
    steps: int = Field(ge=0)
    batch_size: PositiveInt
    crop: PositiveInt
    """Side in pixels of the random crop trained on; at least `data.size` means whole pictures."""
    learning_rate: float = Field(gt=0)
    ema_decay: float = Field(ge=0, lt=1)
    perceptual_weight: float = Field(ge=0)
    kl_weight: float = Field(ge=0)
    block_out_channels: list[PositiveInt]
    layers_per_block: PositiveInt
    latent_channels: PositiveInt


class FeaturesConfig(Section):
    source_encoder: str
    pose_encoder: str
    batch_size: PositiveInt


class ModelConfig(Section):
    hidden_size: PositiveInt
    depth: PositiveInt
    num_heads: PositiveInt
    patch_size: PositiveInt
    decode_layers: PositiveInt
    mask_ratio: float = Field(gt=0, lt=1)
    mip_attention: MIPAttention
    canet_sources: CANetSources
    aggregation: Aggregation


class TrainConfig(Section):
    init: str | None
    """Folder of a trained model to start from; null starts from scratch."""
    checkpoints: dict[Literal["ablation", "main"], PositiveInt]
    """Step counts at which the EMA weights are kept; the largest ends the run."""
    batch_size: PositiveInt
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(ge=0)
    """Steps of linear warm-up; 0, as in the paper, is a constant rate."""
    weight_decay: float = Field(ge=0)
    grad_clip: float | None = Field(gt=0)
    """Largest gradient norm; null, as in the paper, leaves gradients alone."""
    ema_decay: float = Field(ge=0, lt=1)
    condition_dropout: float = Field(ge=0, le=1)
    precision: Literal["bf16", "fp32"]
    compile: bool
    """Compile the blocks by torch.compile; needs a C++ compiler on the machine."""
    save_every: PositiveInt
    """Steps between the states that an interrupted run resumes from."""
    log_every: PositiveInt

    @property
    def steps(self) -> int:
        return max(self.checkpoints.values())

    @model_validator(mode="after")
    def _save_on_log(self) -> "TrainConfig":
        if self.save_every % self.log_every:
            raise ValueError("save_every must be a multiple of log_every")
        return self


class SampleConfig(Section):
    num_inference_steps: PositiveInt
    guidance_scale: float = Field(ge=0)
    guidance_power: float = Field(gt=0)
    batch_size: PositiveInt
    precision: Literal["bf16", "fp32"]
    checkpoints: list[Literal["ablation", "main"]]


class EvaluateConfig(Section):
    protocol: str


class Experiment(Section):
    """One run as its difference from the base."""

    title: str
    model: dict[str, Any] = {}
    train: dict[str, Any] = {}


class Config(Section):
    profile: str
    seed: int = Field(ge=0)
    runs: list[str]
    """The experiments that the graph carries out."""
    data: DataConfig
    vae: VAEConfig
    features: FeaturesConfig
    model: ModelConfig
    train: TrainConfig
    sample: SampleConfig
    evaluate: EvaluateConfig
    experiments: dict[str, Experiment]


class _Loader(yaml.SafeLoader):
    """YAML 1.1 that, like 1.2, reads 1e-4 as a number, so that DVC and we agree."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def _validate(tree: dict[str, Any], path: Path) -> Config:
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        reason = "is not a setting" if first["type"] == "extra_forbidden" else first["msg"]
        raise ConfigError(f"{path}: {key}: {reason}") from None


def load_config(path: str | Path = "params.yaml", run: str | None = None) -> Config:
    """Read `path`; with `run`, apply that experiment's differences to `model` and `train`.

    Raises `ConfigError` naming the file and the key for anything missing, unknown or out of range.
    """
    path = Path(path)
    try:
        tree = yaml.load(path.read_text(), _Loader)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `xmdpt profile synthetic` makes one") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must hold named sections")
    config = _validate(tree, path)
    for name in [*config.runs, *([run] if run else [])]:
        if name not in config.experiments:
            known = ", ".join(config.experiments)
            raise ConfigError(f"{path}: runs: '{name}' is not in experiments ({known})")
    if run is None:
        return config
    experiment = config.experiments[run]
    return _validate(
        tree
        | {"model": tree["model"] | experiment.model, "train": tree["train"] | experiment.train},
        path,
    )
