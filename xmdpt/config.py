"""The settings of a run: one typed tree that mirrors params.yaml. Unknown keys are errors."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from xmdpt.settings_file import ConfigError, Loader, did_you_mean, read_tree

__all__ = ["Config", "ConfigError", "Loader", "load_config"]  # and the sections by name

MIPAttention = Literal["none", "self", "cross", "cross_self", "self_cross"]
CANetSources = Literal["local", "global", "both"]
Aggregation = Literal["mlp", "add", "concat"]
Checkpoint = Literal["ablation", "main"]
Objective = Literal["epsilon", "flow"]
CostModel = Literal[
    "x_mdpt_s", "x_mdpt_b", "x_mdpt_l", "pixel_unet", "latent_unet",
    "vae", "dinov2_giant", "dinov2_base",
]  # fmt: skip
"""Networks whose cost is measured (xmdpt.costs.full_size)."""
Protocol = Literal["synthetic", "pidm", "cfld", "cfld-512", "pcdms", "patn", "leffa", "clean"]
Precision = Literal["auto", "bf16", "fp32"]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class RenderedConfig(Section):
    """The people that the stage `prepare` renders."""

    identities: int = Field(ge=2)
    """People to render."""
    test_identities: int = Field(ge=1)
    """How many of them, the last ones, are for testing."""
    views: int = Field(ge=2, le=64)
    """Pictures of each person."""
    height: int = Field(ge=32, le=2048)
    """Height in pixels of a rendered picture; the width is 11/16 of it."""
    samples_per_pixel: int = Field(ge=1, le=4096)
    """Rays a pixel: more is slower, and less grainy."""
    first_identity: int = Field(ge=0, default=0)
    """Number of the first person; other numbers are other people."""
    world: Literal["white", "plain_walls", "textures", "hard_light", "poses", "wide"] = "white"
    """What varies around the people; `wide` varies all of it, see docs/reproduce/data.md."""

    @model_validator(mode="after")
    def _check(self) -> "RenderedConfig":
        if self.test_identities >= self.identities:
            raise ValueError("test_identities must leave some of identities for training")
        return self


class DataConfig(Section):
    root: str
    """Folder made by the stage `prepare`: rendered people, or the index of `raw`."""
    raw: str
    """Folder of an existing data set, never written to; data/raw/none for rendered people."""
    size: PositiveInt
    """Side in pixels of the square pictures that the networks see."""
    few_joints: Literal["keep", "drop", "stop"] = "keep"
    """What becomes of pictures of `raw` that have no pose, see `xmdpt.data.survey`."""
    rendered: RenderedConfig | None = None
    """Null means the data set in `raw`."""
    low_resolution: bool = False
    """Take DeepFashion's 256x256 version, with white sides, which is refused otherwise."""

    @model_validator(mode="after")
    def _check(self) -> "DataConfig":
        if self.size % 32:
            raise ValueError("size must be a multiple of 32")
        root, raw = Path(self.root).resolve(), Path(self.raw).resolve()
        if raw.is_relative_to(root) or root.is_relative_to(raw):
            raise ValueError(
                f"root {self.root} is replaced by each run, so neither it nor raw {self.raw} may "
                "contain the other"
            )
        return self


MOST_UNTRAINED = 0.05
"""Largest share of untrained starting weights that a moving average (EMA) may keep."""


def _check_average(decay: float, steps: int) -> None:
    """Raise ValueError if the EMA of a run from scratch would keep too much of its start."""
    share = decay**steps
    if steps and share > MOST_UNTRAINED:
        fits = math.floor(MOST_UNTRAINED ** (1 / steps) * 1e4) / 1e4
        raise ValueError(
            f"ema_decay {decay} over {steps} steps keeps {share:.0%} of the untrained weights; "
            f"{fits} or less keeps at most {MOST_UNTRAINED:.0%}"
        )


class TrainerConfig(Section):
    """What the trainings of the autoencoder and of the transformer have in common."""

    batch_size: PositiveInt
    """Pictures, or pairs of them, in a step, of all processes together."""
    learning_rate: float = Field(gt=0)
    """Step size of the optimizer."""
    decay_steps: int = Field(ge=0)
    """Over this many last steps the learning rate falls linearly to 0; the paper has 0."""
    ema_decay: float = Field(ge=0, lt=1)
    """Decay a step of the average of weights, which is what is kept."""
    precision: Precision
    """Number format of a step; auto: bf16 where it is faster (xmdpt.support.precision)."""
    gradient_checkpointing: bool
    """Recompute the inside of blocks in the backward pass: slower, but far less memory."""
    save_every: PositiveInt
    """Steps between the saved states that an interrupted training resumes from."""


class VAEConfig(TrainerConfig):
    init: str | None
    """Folder or hub name of a diffusers `AutoencoderKL`; null starts from untrained weights."""
    train_encoder: bool
    """Also train the encoder; the paper trains only the decoder, so that latents stay valid."""
    steps: int = Field(ge=0)
    """Steps of training; 0 keeps `init` as it is."""
    crop: PositiveInt
    """Side in pixels of the random crops to train on; `data.size` means whole pictures."""
    reconstruction: Literal["mse", "l1"]
    """What compares a picture with the original: squared or absolute error."""
    perceptual: Literal["st_lpips", "lpips"]
    """The perceptual loss; `lpips` needs AlexNet's weights, `st_lpips` comes with a package."""
    perceptual_weight: float = Field(ge=0)
    """Weight of the perceptual loss."""
    kl_weight: float = Field(ge=0)
    """Weight of the distance of latents from a normal distribution."""
    equivariance: float = Field(ge=0, le=1)
    """Share of the steps that scale or turn pictures with their latents (EQ-VAE); the paper: 0."""
    block_out_channels: list[PositiveInt]
    """Of an untrained autoencoder: channels at each resolution, each half of the one before."""
    layers_per_block: PositiveInt
    """Of an untrained autoencoder: residual blocks at each resolution."""
    latent_channels: PositiveInt
    """Of an untrained autoencoder: channels of a latent."""

    @model_validator(mode="after")
    def _check(self) -> "VAEConfig":
        factor = 2 ** (len(self.block_out_channels) - 1)
        if self.crop % factor:
            raise ValueError(f"crop must be a multiple of {factor}")
        if self.init is None:
            if not self.train_encoder:
                raise ValueError("train_encoder must be true if init is null")
            _check_average(self.ema_decay, self.steps)
        return self


class FeaturesConfig(Section):
    source_encoder: str
    """Token encoder of the source photo: `efficientnet_lite0`, `colours`, a DINOv2 by hub name or
    folder, or `timm/NAME` (`xmdpt.features.encoders.make_encoder`)."""
    pose_encoder: str
    """The same, of the skeleton picture."""
    imagenet_normalization: bool
    """Normalise inputs of DINOv2 and timm by ImageNet's mean and deviation; the authors do not."""
    precision: Precision
    """Of DINOv2 and timm encoders; the VAE always encodes in fp32."""
    source_tokens: Literal["stored", "on_the_fly"]
    """On the fly: photos are stored instead of their tokens, which are many times larger."""
    storage: Literal["fp32", "fp16", "bf16", "fp8"]
    """Format of stored tokens; the moments of latents are always stored in fp32."""
    batch_size: PositiveInt
    """Pictures that are encoded at once."""
    pictures: Literal["all", "few"] = "all"
    """few: only test people whom training watches; enough where nothing is trained."""


class ModelConfig(Section):
    hidden_size: PositiveInt
    """Width of a token."""
    depth: PositiveInt
    """Transformer blocks of TDNet."""
    num_heads: PositiveInt
    """Attention heads of a block."""
    patch_size: PositiveInt
    """Side of a token in cells of the latent."""
    decode_layers: PositiveInt
    """How many of the blocks, the last ones, come after MIPNet."""
    mask_ratio: float = Field(gt=0, lt=1)
    """Share of tokens hidden in the masked pass."""
    mip_attention: MIPAttention
    """MIPNet's attention; none leaves out the masked pass."""
    canet_sources: CANetSources
    """Features of the source that CANet sees."""
    aggregation: Aggregation
    """How CANet joins its parts to one vector."""
    source_tokens_in_context: bool = False
    """Every block also sees the source's tokens (xmdpt.extensions.context); the paper: false."""

    @model_validator(mode="after")
    def _check(self) -> "ModelConfig":
        if self.hidden_size % self.num_heads:
            raise ValueError("hidden_size must be a multiple of num_heads")
        if self.decode_layers >= self.depth:
            raise ValueError("decode_layers must be less than depth")
        if self.source_tokens_in_context and self.mip_attention != "none":
            raise ValueError("source_tokens_in_context needs mip_attention none")
        return self


class TrainConfig(TrainerConfig):
    seed: int | None = Field(ge=0)
    """Seeds new weights, the order of pairs and noise; null means the profile's `seed`."""
    init: str | None
    """Folder of a trained model to start from; null starts from scratch."""
    resume: str | None
    """A state.pt of an interrupted run with other settings, to go on from; null: none."""
    checkpoints: dict[Checkpoint, PositiveInt] = Field(min_length=1)
    """Step counts at which the EMA weights are kept; training stops at the largest."""
    warmup_steps: int = Field(ge=0)
    """Steps of linear warm-up; the paper has 0."""
    optimizer: Literal["adamw", "muon"]
    """AdamW, as in the paper, or Muon for the weights of linear layers (xmdpt.training.muon)."""
    adam_beta2: float = Field(gt=0, lt=1)
    """Decay of AdamW's average of squared gradients; the paper has PyTorch's 0.999."""
    weight_decay: float = Field(ge=0)
    """Weight decay of AdamW."""
    grad_clip: float | None = Field(gt=0)
    """Largest gradient norm; null, as in the paper, does not clip."""
    snr_gamma: float | None = Field(gt=0)
    """Min-SNR: weight the squared error by min(SNR, gamma) / SNR; null, as in the paper, by 1."""
    condition_dropout: float = Field(ge=0, le=1)
    """Share of pairs trained without condition, for the guidance."""
    objective: Objective
    """What the network predicts: the noise, as in the paper, or a velocity (xmdpt.flow)."""
    alignment: float = Field(ge=0)
    """Weight of the loss in xmdpt.training.alignment; 0, as in the paper, is none."""
    compile: bool
    """Compile a step's forward and backward pass with torch.compile; needs a C++ compiler."""
    log_every: PositiveInt
    """Steps between the lines of the history."""
    accumulation: PositiveInt = 1
    """Parts that a process computes its share of a batch in: less memory, the same step."""
    processes: PositiveInt = 1
    """Processes in which the stages `train` and `vae` train; torchrun says it elsewhere."""

    @property
    def steps(self) -> int:
        return max(self.checkpoints.values())

    @model_validator(mode="after")
    def _check(self) -> "TrainConfig":
        if self.save_every % self.log_every:
            raise ValueError("save_every must be a multiple of log_every")
        if self.objective == "flow" and self.snr_gamma is not None:
            raise ValueError("snr_gamma weights the error of noise: set it to null with flow")
        if self.init is None:
            _check_average(self.ema_decay, min(self.checkpoints.values()))
        return self


MIN_STEPS = 2
"""Fewest denoising steps: a single one would be at timestep 0 and take noise for the picture."""


class SampleConfig(Section):
    num_inference_steps: int = Field(ge=MIN_STEPS)
    """Denoising steps of a picture."""
    guidance_scale: float = Field(ge=0)
    """Largest weight of the guidance; 1 switches it off."""
    guidance_power: float = Field(gt=0)
    """Power of the guidance's schedule (Eq. 6): the smaller, the sooner its weight is full."""
    batch_size: PositiveInt
    """Pictures that are drawn at once."""
    precision: Precision
    """Number format of the networks."""
    checkpoints: dict[Checkpoint, PositiveInt | None] = Field(min_length=1)
    """How many test pairs to draw from each, spread evenly; null means all."""


class EvaluateConfig(Section):
    protocol: Protocol
    """Whose rules score the pictures; see docs/evaluate.md."""
    also: list[Protocol] = []
    """Others that score them too, for a table of their own."""


class CostsConfig(Section):
    """What the stage `costs` measures, always at the paper's full sizes."""

    models: list[CostModel] = Field(min_length=1)
    """Networks to measure (xmdpt.costs.full_size)."""
    repeats: PositiveInt
    """Rounds through all of them."""
    batch_size: PositiveInt
    """Pictures that a timed step draws at once; times are scaled to the paper's 8."""
    train_batch_size: PositiveInt
    """Pairs in a timed training step."""

    @model_validator(mode="after")
    def _check(self) -> "CostsConfig":
        if "x_mdpt_s" not in self.models:
            raise ValueError("models must include x_mdpt_s, to which times are relative")
        return self


class Experiment(Section):
    """One run as its difference from the base."""

    title: str
    """Its name in tables."""
    released: str | None = None
    """A file of published weights, which are the run's in place of a training."""
    features: dict[str, Any] = {}
    model: dict[str, Any] = {}
    train: dict[str, Any] = {}
    sample: dict[str, Any] = {}


class Config(Section):
    profile: str
    """Name of the profile, which its folder of kept results has too."""
    seed: int = Field(ge=0)
    """Seeds people, noise, order and new weights."""
    runs: list[str]
    """The experiments that the graph runs."""
    data: DataConfig
    vae: VAEConfig
    features: FeaturesConfig
    model: ModelConfig
    train: TrainConfig
    sample: SampleConfig
    evaluate: EvaluateConfig
    costs: CostsConfig
    experiments: dict[str, Experiment]

    @property
    def training_seed(self) -> int:
        return self.seed if self.train.seed is None else self.train.seed

    @property
    def released(self) -> dict[str, str]:
        """The runs that are not trained -> the files of their published weights."""
        files = {run: self.experiments[run].released for run in self.runs}
        return {run: file for run, file in files.items() if file is not None}

    @property
    def last_checkpoint(self) -> Checkpoint:
        """Of the checkpoints that pictures are drawn from, the one with the most training."""
        return max(self.sample.checkpoints, key=lambda name: self.train.checkpoints[name])


def _validate(tree: dict[str, Any], path: Path, prefix: str = "") -> Config:
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = prefix + ".".join(str(part) for part in first["loc"])
        reason = "is not a setting" if first["type"] == "extra_forbidden" else first["msg"]
        raise ConfigError(f"{path}: {key}: {reason}") from None


def _experiment(
    tree: dict[str, Any], config: Config, path: Path, name: str, changes: Mapping[str, Any]
) -> Config:
    """The settings with the differences of one experiment applied, and then `changes`."""
    if name not in config.experiments:
        known = f"({', '.join(config.experiments)}){did_you_mean(name, config.experiments)}"
        raise ConfigError(f"{path}: runs: '{name}' is not in experiments {known}")
    experiment = config.experiments[name]
    changed = {
        section: tree[section] | getattr(experiment, section)
        for section in ("features", "model", "train", "sample")
    }
    for key, value in changes.items():
        section, _, field = key.partition(".")
        if section not in changed or not field:
            raise ConfigError(f"{key}: not a setting of a run, as train.batch_size is")
        changed[section][field] = value
    merged = _validate(tree | changed, path, f"experiments.{name}: ")
    if unknown := [*merged.sample.checkpoints.keys() - merged.train.checkpoints.keys()]:
        raise ConfigError(f"{path}: sample.checkpoints: '{unknown[0]}' is not in train.checkpoints")
    return merged


def load_config(
    path: str | Path = "params.yaml",
    run: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Config:
    """Read `path`; with `run`, apply that experiment's differences to the base, then `changes`.

    The keys of `changes` are like train.batch_size. All experiments in `runs` are checked. Raises
    `ConfigError`, which names the file and the key, for anything missing, unknown or out of range.
    """
    tree = read_tree(path := Path(path))
    config = _validate(tree, path)
    names = config.runs if run is None else [*config.runs, run]
    merged = {name: _experiment(tree, config, path, name, {}) for name in names}
    if run is not None and changes:
        merged[run] = _experiment(tree, config, path, run, changes)
    return config if run is None else merged[run]
