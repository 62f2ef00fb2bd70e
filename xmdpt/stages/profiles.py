"""The profiles that come with the repository, and which of them params.yaml is."""

from itertools import count
from pathlib import Path
from typing import Any

from xmdpt.config import ConfigError, load_config
from xmdpt.settings_file import did_you_mean
from xmdpt.support.files import atomic_path

PARAMS = Path("params.yaml")
PROFILES = Path("profiles")


def find_profiles() -> dict[str, Path]:
    """Profiles by name; ConfigError where there are none."""
    found = {path.stem: path for path in sorted(PROFILES.glob("*.yaml"))}
    if not found:
        raise ConfigError(f"no profiles in {PROFILES.absolute()}; run this where xmdpt was cloned")
    return found


def active_profile(profiles: dict[str, Path]) -> str | None:
    """The profile that params.yaml equals, byte for byte."""
    if not PARAMS.exists():
        return None
    text = PARAMS.read_bytes()
    return next((name for name, path in profiles.items() if path.read_bytes() == text), None)


def _summary(path: Path) -> str:
    """The first sentence of the comment that opens a profile."""
    comment = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.removeprefix("#").strip())
    return " ".join(comment).partition(". ")[0].rstrip(".")


def collect() -> dict[str, Any]:
    """The profile that is `active`, None where params.yaml is none, and what `profiles` are for."""
    profiles = find_profiles()
    summaries = {name: _summary(path) for name, path in profiles.items()}
    return {"active": active_profile(profiles), "profiles": summaries}


def as_text(found: dict[str, Any]) -> str:
    """`collect()` for people to read; a star marks the profile in place."""
    active, profiles = found["active"], found["profiles"]
    width = max(map(len, profiles))
    lines = [
        f"{'*' if name == active else ' '} {name:{width}}  {about}"
        for name, about in profiles.items()
    ]
    if active is None:
        state = "was changed by hand and equals none of them" if PARAMS.exists() else "is not there"
        lines.append(f"params.yaml {state}")
    return "\n".join(lines)


def put_in_place(name: str, force: bool = False) -> None:
    """Make params.yaml the named profile; changes made by hand are kept unless `force`.

    With `force` they go to params.yaml.bak, or, if that is there, to .bak1 and so on. Raises
    ConfigError.
    """
    profiles = find_profiles()
    if name not in profiles:
        known = f"{', '.join(profiles)}{did_you_mean(name, profiles)}"
        raise ConfigError(f"no profile '{name}'; there are: {known}")
    config = load_config(profiles[name])
    data = config.data
    if PARAMS.exists() and active_profile(profiles) is None:
        if not force:
            raise ConfigError(
                "params.yaml has changes that you made; --force replaces it, and keeps a backup"
            )
        names = (PARAMS.with_suffix(f".yaml.bak{number or ''}") for number in count())
        backup = next(name for name in names if not name.exists())
        backup.write_bytes(PARAMS.read_bytes())
        print(f"your params.yaml is kept as {backup}")
    with atomic_path(PARAMS) as partial:
        partial.write_bytes(profiles[name].read_bytes())
    print(f"params.yaml is now '{name}'; `make repro` carries it out")
    if data.rendered is None and not Path(data.raw).exists():
        print(
            f"first fill {data.raw}, which is not there: `xmdpt survey {data.raw}` says with what, "
            "and where to get it"
        )
    if config.released:
        from xmdpt.weights.released import missing_files  # seconds of imports, for one profile

        for line in missing_files(config):
            print(line)
