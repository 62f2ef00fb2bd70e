"""Protocols: records of everything that decides a score.

The same pixels score .64 to .80 in SSIM depending on the rules, so a score without its protocol
says nothing. `preparation`, `networks` and `evaluate` carry the records out; docs/evaluate.md
says which paper used which.
"""

from dataclasses import dataclass, replace
from typing import Literal

from xmdpt.config import ConfigError
from xmdpt.settings_file import did_you_mean

Size = tuple[int, int]  # height, width
Filter = Literal[
    "pil bicubic", "pil lanczos", "cv2 bilinear float", "cv2 cubic float", "pil bicubic float"
]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Resize:
    """Squash to `size`, or to the results' own size if None, with a library's filter."""

    size: Size | None
    filter: Filter


@dataclass(frozen=True)
class Pad:
    """Add white columns on either side."""

    columns: int


Step = Resize | Pad


@dataclass(frozen=True)
class SSIM:
    """One definition of structural similarity, under the name of its column."""

    name: str = "ssim"
    sigma: float | None = 1.5
    """Of the Gaussian window, which is truncated at 3.5 sigma; no sample covariance."""
    window: int | None = None
    """Side of a uniform window, used if sigma is None; with sample covariance."""
    data_range: Literal["prediction", "full"] = "prediction"
    """The prediction's own maximum minus minimum, or 255."""
    borders: Literal["cut", "reflected"] = "cut"
    """Only windows inside the picture, or the picture padded by reflection, as torchmetrics does
    since 1.4.2: white margins then count more."""


@dataclass(frozen=True)
class Perceptual:
    """A learned distance between a result and its reference."""

    name: str
    net: Literal["alex", "vgg", "squeeze", "st_alex"]
    """Trunk of LPIPS v0.1; st_alex is ST-LPIPS."""
    steps: tuple[Step, ...]
    signed: bool = True
    """Whether the network sees [-1, 1], as in its training, or [0, 1]."""
    batch_size: int = 64
    drop_last: bool = False
    """Whether a partial last batch is dropped."""


@dataclass(frozen=True)
class Frechet:
    """A distance between the features of all results and those of all training pictures."""

    name: str
    kernel: str
    """Name of the kernel distance in the same features."""
    network: Literal["torchvision inception", "tensorflow inception", "efficientnet_lite0"]
    steps: tuple[Step, ...]
    scale: Triple | None = None
    offset: Triple | None = None
    """The network sees x * scale + offset, x in [0, 1]; None leaves this to the network."""
    batch_size: int = 64
    drop_last: bool = False


@dataclass(frozen=True)
class Protocol:
    """One way to score results against test and training pictures; see `PROTOCOLS`."""

    name: str
    about: str
    pixels: tuple[Step, ...]
    """What results and references go through before metrics of pixels. A picture that
    already has the size of a later step enters there."""
    ssim: tuple[SSIM, ...]
    perceptual: tuple[Perceptual, ...]
    frechet: tuple[Frechet, ...]
    outlines: bool = False
    """Also compare silhouettes, which needs a white background, and sharpness."""


SQUARE = Resize((256, 256), "pil bicubic")
NARROW = Resize((256, 176), "pil bicubic")

# ImageNet's std / 0.5 and (mean - 0.5) / 0.5: a formula for normalised pictures, applied to those
# in [0, 1]. An oversight in the field's first script, and part of every published FID since.
_ODD_SCALE: Triple = (0.229 / 0.5, 0.224 / 0.5, 0.225 / 0.5)
_ODD_OFFSET: Triple = ((0.485 - 0.5) / 0.5, (0.456 - 0.5) / 0.5, (0.406 - 0.5) / 0.5)


def _fid(*steps: Step, batch_size: int = 64, drop_last: bool = True) -> Frechet:
    """FID as in the field's first script, with torchvision's Inception."""
    return Frechet(
        "fid", "kid", "torchvision inception", steps, _ODD_SCALE, _ODD_OFFSET, batch_size, drop_last
    )


def _lpips(*steps: Step, drop_last: bool = True, signed: bool = True) -> Perceptual:
    return Perceptual("lpips", "alex", steps, signed, drop_last=drop_last)


PYTORCH_FID = Frechet("fid", "kid", "tensorflow inception", (), (2.0, 2.0, 2.0), (-1.0, -1.0, -1.0))
CLEAN_FID = Frechet(
    "clean_fid",
    "clean_kid",
    "tensorflow inception",
    (Resize((299, 299), "pil bicubic float"),),
    scale=(255 / 128, 255 / 128, 255 / 128),
    offset=(-1.0, -1.0, -1.0),
)

_SHRUNK = (SQUARE, Resize((256, 176), "cv2 bilinear float"))
PIDM = Protocol(
    name="pidm",
    about="PIDM's rules, which X-MDPT's published numbers follow: 256x256 squash, SSIM sigma 1.2",
    pixels=(SQUARE,),
    ssim=(SSIM(sigma=1.2),),
    perceptual=(_lpips(*_SHRUNK),),
    frechet=(_fid(*_SHRUNK),),
)


def _cfld(name: str, size: Size) -> Protocol:
    squash = Resize(size, "pil bicubic")
    return Protocol(
        name=name,
        about=f"CFLD's rules at {size[0]}x{size[1]}: antialiased squash, SSIM sigma 1.5 "
        "(and window 51), nothing dropped",
        pixels=(squash,),
        ssim=(SSIM(), SSIM("ssim_win51", sigma=None, window=51, data_range="full")),
        perceptual=(_lpips(squash, drop_last=False),),
        frechet=(_fid(squash, drop_last=False),),
    )


_SHARPENED = (SQUARE, Resize((256, 176), "cv2 cubic float"))
PCDMS = Protocol(
    name="pcdms",
    about="PCDMs' rules: 256x176 by a cubic filter that is not cut at black and white, SSIM sigma "
    "1.2, LPIPS fed [0, 1], which makes it lower",
    pixels=_SHARPENED,
    ssim=(SSIM(sigma=1.2),),
    perceptual=(_lpips(*_SHARPENED, signed=False),),
    frechet=(_fid(*_SHARPENED, batch_size=128),),
)
PATN = Protocol(
    name="patn",
    about="PATN's and DPTN's rules: SSIM and PSNR with 40 white columns on either side, which "
    "makes them higher; networks see 256x176",
    pixels=(NARROW, Pad(40)),
    ssim=(SSIM(),),
    perceptual=(_lpips(NARROW),),
    frechet=(_fid(NARROW),),
)
_AS_RESULTS = Resize(None, "pil lanczos")
LEFFA = Protocol(
    name="leffa",
    about="Leffa's rules: the results' size, SSIM by torchmetrics, LPIPS on SqueezeNet, FID on "
    "TensorFlow's Inception by pytorch-fid and by clean-fid",
    pixels=(_AS_RESULTS,),
    ssim=(SSIM(data_range="full", borders="reflected"),),
    perceptual=(Perceptual("lpips_squeeze", "squeeze", (_AS_RESULTS,)),),
    frechet=(
        replace(PYTORCH_FID, steps=(_AS_RESULTS,)),
        replace(CLEAN_FID, steps=(_AS_RESULTS, *CLEAN_FID.steps)),
    ),
)
_OWN = Resize(None, "pil bicubic")
CLEAN = Protocol(
    name="clean",
    about="textbook definitions for new work: the results' size, SSIM sigma 1.5 of range 255, "
    "LPIPS on AlexNet and SqueezeNet, clean-fid on pictures as they are stored",
    pixels=(_OWN,),
    ssim=(SSIM(data_range="full"),),
    perceptual=(
        _lpips(_OWN, drop_last=False),
        Perceptual("lpips_squeeze", "squeeze", (_OWN,)),
    ),
    frechet=(CLEAN_FID,),
)
SYNTHETIC = Protocol(
    name="synthetic",
    about="offline runs on rendered people: PIDM's SSIM and PSNR at the results' size, and "
    "stand-ins for the metrics whose networks no package ships; not comparable with published FID "
    "or LPIPS",
    pixels=(_OWN,),
    ssim=(SSIM(sigma=1.2),),
    perceptual=(Perceptual("st_lpips", "st_alex", (_OWN,), batch_size=32),),
    frechet=(Frechet("fd_effnet", "kd_effnet", "efficientnet_lite0", (_OWN,), batch_size=32),),
    outlines=True,
)

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        PIDM,
        _cfld("cfld", (256, 176)),
        _cfld("cfld-512", (512, 352)),
        PCDMS,
        PATN,
        LEFFA,
        CLEAN,
        SYNTHETIC,
    )
}


def get_protocol(protocol: str | Protocol) -> Protocol:
    """Return a protocol by name; a record is returned as it is. Raises ConfigError."""
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        known = f"{', '.join(PROTOCOLS)}{did_you_mean(protocol, PROTOCOLS)}"
        raise ConfigError(f"protocol '{protocol}' is not one of {known}")
    return PROTOCOLS[protocol]
