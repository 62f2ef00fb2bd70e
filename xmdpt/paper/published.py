"""Every number in the paper's tables, as printed (Pham, Kang and Yoo, 2024).

They were measured on DeepFashion under PIDM's protocol: FID against all training pictures, SSIM,
LPIPS and PSNR on the 8,570 test pairs. Numbers on other data do not compare with them.
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import cache, partial

Number = Decimal
"""As printed, with trailing zeros: 6.7220 is more precise than 6.722."""


@dataclass(frozen=True)
class Score:
    """A row of Table 1 or of Tables 2(a) to 2(e)."""

    table: str
    method: str
    size: int
    """Side of the squared picture in pixels."""
    steps: int | None
    """Training steps; printed for X-MDPT only."""
    fid: Number
    ssim: Number
    lpips: Number
    psnr: Number | None
    """In dB; Table 1 has none."""
    run: str | None = None
    """The experiment of the profiles with the same settings."""


@dataclass(frozen=True)
class Cost:
    """A row of Table 2(f), 3 or 5; the times of 2(f) and 3 are for 8 pictures on an A100."""

    table: str
    method: str
    seconds: Number
    """Time of one inference."""
    parameters: Number
    """Millions."""
    deviation: Number | None = None
    """Standard deviation of `seconds`, where it is printed."""
    memory: int | None = None
    """MB."""
    guidance: str | None = None
    """CFG: classifier-free guidance; D-CFG: disentangled, with three forward passes a step."""
    forwards: int | None = None
    """Forward passes in 50 steps."""
    speed_up: Number | None = None
    """Compared with PIDM."""
    fid: Number | None = None
    training_days: int | None = None
    """On one A100."""


@dataclass(frozen=True)
class Configuration:
    """An entry of Table 4."""

    method: str
    layers: int
    width: int
    heads: int
    parameters: Number
    """Millions, in 256x256 training."""


def _score(
    table: str,
    size: int,
    method: str,
    values: str,
    run: str | None = None,
    steps: int | None = None,
) -> Score:
    """A row; `values` are FID, SSIM, LPIPS and, if printed, PSNR."""
    fid, ssim, lpips, *psnr = map(Number, values.split())
    return Score(table, method, size, steps, fid, ssim, lpips, psnr[0] if psnr else None, run)


def _main_256() -> tuple[Score, ...]:
    row = partial(_score, "1", 256)
    return (
        row("Def-GAN", "18.457 0.6786 0.2330"),
        row("PATN", "20.751 0.6709 0.2562"),
        row("ADGAN", "14.458 0.6721 0.2283"),
        row("PISE", "13.610 0.6629 0.2059"),
        row("GFLA", "10.573 0.7074 0.22341"),  # five digits in the paper
        row("DPTN", "11.387 0.7112 0.1931"),
        row("CASD", "11.373 0.7248 0.1936"),
        row("NTED", "8.6838 0.7182 0.1752"),
        row("PoCoLD", "8.0667 0.7310 0.1642"),
        row("PIDM", "6.3671 0.7312 0.1678"),
        row("PIDM (second row)", "6.6182 0.7294 0.1715"),
        row("X-MDPT-S", "7.4282 0.7128 0.1961", "size_s", 300_000),
        row("X-MDPT-S", "7.6724 0.7194 0.1875", "size_s", 800_000),
        row("X-MDPT-B", "6.7288 0.7215 0.1814", "base_b", 300_000),
        row("X-MDPT-B", "7.3293 0.7284 0.1734", "base_b", 800_000),
        row("X-MDPT-L", "6.2512 0.7298 0.1671", "size_l", 350_000),
        row("X-MDPT-L", "7.2865 0.7405 0.1589", "size_l", 800_000),
        row("VAE reconstruction", "8.0126 0.9168 0.0142"),
        row("Ground truth", "7.8610 1.0000 0.0000"),
    )


def _main_512() -> tuple[Score, ...]:
    row = partial(_score, "1", 512)
    return (
        row("CocosNet-v2", "13.325 0.7236 0.2265"),
        row("NTED", "7.7821 0.7376 0.1980"),
        row("PoCoLD", "8.4163 0.7430 0.1920"),
        row("PIDM", "5.8365 0.7419 0.1768"),
        row("X-MDPT-L", "5.9264 0.7416 0.1788", "size_l_512", 500_000),
        row("X-MDPT-L", "7.1615 0.7522 0.1645", "size_l_512", 1_000_000),
        row("VAE reconstruction", "8.1815 0.9122 0.0266"),
        row("Ground truth", "7.9150 1.0000 0.0000"),
    )


def _ablations() -> tuple[Score, ...]:
    """Tables 2(a) to 2(e): X-MDPT-B after 300k steps; the default model is a row of each."""
    default = ("base_b", "6.7288 0.7215 0.1814 16.9642")
    rows = (
        ("2a", "Transformer", "no_mask", "7.1150 0.7199 0.1841 16.8882"),
        ("2a", "+ MDT", "mdt", "6.8616 0.7182 0.1851 16.8227"),
        ("2a", "+ MIPNet", *default),
        ("2b", "30%", *default),
        ("2b", "50%", "mask_50", "6.8081 0.7231 0.1792 17.0609"),
        ("2b", "70%", "mask_70", "6.9533 0.7246 0.1759 17.1442"),
        ("2c", "Global (S) + Pose (S)", "features_s_s", "6.9239 0.7187 0.1894 16.7466"),
        ("2c", "Global (G) + Pose (S)", "features_g_s", "6.9237 0.7228 0.1798 17.011"),
        ("2c", "Global (G) + Pose (B)", *default),
        ("2d", "self", "mdt", "6.8616 0.7182 0.1851 16.8227"),
        ("2d", "cross", "attention_cross", "6.9067 0.7222 0.1791 17.010"),
        ("2d", "cross-self", "attention_cross_self", "6.8938 0.7244 0.1766 17.1215"),
        ("2d", "self-cross", *default),
        ("2e", "local", "canet_local", "11.2661 0.6679 0.3131 12.8694"),
        ("2e", "global", "canet_global", "6.9241 0.7230 0.1805 17.0456"),
        ("2e", "local + global", *default),
    )
    return tuple(
        _score(table, 256, method, values, run, 300_000) for table, method, run, values in rows
    )


@cache
def scores() -> tuple[Score, ...]:
    """Tables 1 and 2(a) to 2(e), in their order."""
    return _main_256() + _main_512() + _ablations()


@cache
def costs() -> tuple[Cost, ...]:
    """Tables 2(f), 3 and 5, in their order."""
    n = Number
    return (
        Cost("2f", "PIDM", n("16.975"), n("688.00"), fid=n("6.36")),
        Cost("2f", "X-MDPT-S", n("1.191"), n("33.52"), n("0.021"), speed_up=n("14.25"),
             fid=n("7.42")),
        Cost("2f", "X-MDPT-B", n("1.299"), n("131.92"), n("0.022"), speed_up=n("13.07"),
             fid=n("6.72")),
        Cost("2f", "X-MDPT-L", n("3.124"), n("460.24"), n("0.026"), speed_up=n("5.43"),
             fid=n("6.25")),
        Cost("3", "PIDM", n("16.975"), n("688.00"), n("0.055"), 9572, "D-CFG", 150),
        Cost("3", "PoCoLD", n("3.215"), n("395.89"), n("0.028"), 5686, "D-CFG", 150),
        Cost("3", "X-MDPT-L", n("3.124"), n("460.24"), n("0.026"), 6438, "CFG", 100),
        Cost("3", "X-MDPT-B", n("1.299"), n("131.92"), n("0.022"), 5680, "CFG", 100),
        Cost("3", "X-MDPT-S", n("1.191"), n("33.52"), n("0.021"), 5485, "CFG", 100),
        Cost("5", "PIDM", n("16.975"), n("688.0"), training_days=104),
        Cost("5", "X-MDPT-L", n("3.124"), n("460.24"), training_days=15),
    )  # fmt: skip


@cache
def configurations() -> tuple[Configuration, ...]:
    """Table 4, column by column."""
    shapes = {"S": (12, 384, 6), "B": (12, 768, 12), "L": (24, 1024, 16)}
    parameters = {
        "DiT": ("32.9", "130.3", "458.0"),
        "MDT": ("33.1", "130.8", "459.1"),
        "X-MDPT": ("33.52", "131.92", "460.24"),
    }
    return tuple(
        Configuration(f"{method}-{size}", *shapes[size], Number(count))
        for method, counts in parameters.items()
        for size, count in zip(shapes, counts, strict=True)
    )


TRAINING_DAYS = {
    ("X-MDPT-B", 300_000): Number("4.1"),
    ("X-MDPT-L", 300_000): Number("5.9"),
    ("X-MDPT-L", 800_000): Number("15.7"),
}
"""(Model, steps) -> days on one A100 at batch 32, from the text of Appendix A.6."""
