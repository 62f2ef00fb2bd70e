"""Whether a server answers, found out in seconds: libraries try for minutes, in silence."""

import ssl
import threading
import urllib.error
import urllib.request

PATIENCE = 4.0  # seconds to wait for a first answer


def answers(address: str, seconds: float = PATIENCE) -> bool:
    """Whether anything answers at an address in time, through a proxy where one is set."""
    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(address, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=seconds).close()
        except urllib.error.HTTPError:
            pass  # an answer, whatever it says
        except OSError as error:
            if not isinstance(getattr(error, "reason", None), ssl.SSLError):
                return  # an unknown certificate is an answer too: libraries have their own
        answered.set()

    # A name server that does not answer heeds no time limit: let it be, and go on.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return answered.is_set()
