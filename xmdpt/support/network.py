"""Whether a server answers, found out in seconds: libraries try for minutes, in silence."""

import http.client
import ssl
import threading
import urllib.error
import urllib.request
from urllib.parse import urlsplit, urlunsplit

PATIENCE = 4.0  # seconds to wait for a first answer


def shown(address: str) -> str:
    """An address as it may be printed and kept: without the name and password that it may hold."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def answers(address: str, seconds: float = PATIENCE) -> bool:
    """Whether anything answers at an address in time, through a proxy where one is set."""
    answered = threading.Event()

    def ask() -> None:
        try:
            request = urllib.request.Request(shown(address), method="HEAD")
            urllib.request.urlopen(request, timeout=seconds).close()
        except urllib.error.HTTPError:
            pass  # an answer, whatever it says
        except (ValueError, http.client.InvalidURL):
            return  # no address
        except OSError as error:
            if not isinstance(getattr(error, "reason", None), ssl.SSLError):
                return  # an unknown certificate is an answer too: libraries have their own
        answered.set()

    # A name server that does not answer heeds no time limit: let it be, and go on.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return answered.is_set()
