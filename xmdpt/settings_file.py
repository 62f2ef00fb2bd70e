"""A settings file as a tree: YAML as DVC reads it, and errors of one line that name the file."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml


class ConfigError(ValueError):
    """Settings that cannot be used; the message names the file and the key."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to add to a message on an unknown name: the known one like it, if there is one."""
    close = difflib.get_close_matches(name, [*known], n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


class Loader(yaml.SafeLoader):
    """YAML 1.1, but like YAML 1.2, and so like DVC, it reads 1e-4 as a number."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def read_tree(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises ConfigError where there is none."""
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; where xmdpt was cloned, `xmdpt profile synthetic` makes it"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(
            f"{path}: not UTF-8; if it is Latin-1, convert it: iconv -f latin1 -t utf-8 FILE"
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must be a mapping of sections")
    return tree
