"""Whether and how W&B is reached: `WANDB_MODE`, credentials, the network. Nothing asks anyone."""

import configparser
import netrc
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from xmdpt.config import ConfigError
from xmdpt.support.network import PATIENCE, answers, shown

MODES = ("online", "offline", "disabled", "shared", "run", "dryrun")
"""What wandb takes for `WANDB_MODE`; the first three are worth knowing."""


def address() -> str:
    """The address of the server: `WANDB_BASE_URL`, or what `wandb login --host` has kept."""
    return os.environ.get("WANDB_BASE_URL") or _kept_address() or "https://api.wandb.ai"


def _kept_address() -> str | None:
    """The address in wandb's own settings files, of which the one in this folder counts first."""
    own = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser() / "settings"
    here = Path(os.environ.get("WANDB_DIR") or ".") / "wandb/settings"
    settings = configparser.ConfigParser(interpolation=None)
    try:
        settings.read([own, here], encoding="utf-8")
    except (OSError, ValueError, configparser.Error):
        return None
    return settings.get("default", "base_url", fallback=None)


def asked_mode() -> str | None:
    """What `WANDB_MODE` asks for, None where it is not set; raises ConfigError for other words."""
    mode = os.environ.get("WANDB_MODE") or None
    if mode is not None and mode not in MODES:
        raise ConfigError(f"WANDB_MODE={mode}: write {', '.join(MODES[:2])} or {MODES[2]}")
    return mode


def logged_in() -> bool:
    """Whether wandb has credentials to use, found as it finds them but without asking anyone."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(shown(address())).netloc
    named = os.environ.get("NETRC")
    candidates = [named] if named else ["~/.netrc", "~/_netrc"]
    for candidate in candidates:
        try:
            if netrc.netrc(Path(candidate).expanduser()).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def reachable() -> bool:
    """Whether anything answers at `address()` in time."""
    return answers(address())


def obstacle() -> str | None:
    """What keeps this machine from sending to W&B, and its cure, in one line; None if nothing."""
    if not logged_in():
        where = shown(address())
        return f"not logged in to W&B: `wandb login` does it, for an account at {where}"
    if not reachable():
        host = urlsplit(shown(address())).netloc
        return f"no answer from {host} within {PATIENCE:g} seconds"
    return None


def choose_mode() -> str | None:
    """The mode for `wandb.init`; None leaves it to wandb, which heeds `wandb offline` as well.

    Offline without credentials, and, after a line on stderr, without an answer from the server.
    Raises ConfigError as `asked_mode` does.
    """
    mode = asked_mode()
    if mode not in (None, "online"):
        return mode
    if not logged_in():
        return mode or "offline"
    if (reason := obstacle()) is None:
        return mode
    later = "logging offline, and `xmdpt report sync` sends it later"
    print(f"W&B: {reason}; {later}", file=sys.stderr, flush=True)
    return "offline"
