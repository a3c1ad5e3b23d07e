"""What the edge shows to clients when it speaks TLS."""

from dataclasses import dataclass
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext, SSLError


@dataclass(frozen=True, slots=True)
class Certificate:
    """The files of a certificate with its chain, and of its key, both PEM. They are read when the edge starts."""

    chain: Path
    key: Path

    def fault(self) -> str | None:
        """What is wrong with them, in words: they must be readable, belong together, and the key be in clear."""
        try:
            SSLContext(PROTOCOL_TLS_SERVER).load_cert_chain(self.chain, self.key, password=lambda: "")
        except SSLError:
            return "they are no certificate and its key, unencrypted and in PEM"
        except OSError as exc:
            return exc.strerror or type(exc).__name__
        return None
