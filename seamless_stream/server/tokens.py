"""Client secrets: short-lived tokens that stand for a key and a configuration, so that a page need not hold the key.

Pure but for drawing random numbers: time is an argument. Only digests are kept, in memory: a restart forgets them.
"""

import hashlib
import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from seamless_stream.server.changes import SessionChange

PREFIX: Final = "ek_"
MIN_LIFETIME_S: Final = 10
MAX_LIFETIME_S: Final = 7_200
LIFETIME_S: Final = 600  # where none is asked for
MAX_SECRETS_PER_OWNER: Final = 1_000  # that are valid at the same time


@dataclass(frozen=True)
class Secret:
    """What a token stands for; sessions begun with it count as the owner's."""

    owner: str
    change: SessionChange
    expires_at_s: int  # Unix time; the sessions may go on
    digest: bytes


class ClientSecrets:
    """All that are valid."""

    def __init__(self) -> None:
        self._secrets: dict[str, Secret] = {}

    def create(
        self, owner: str, change: SessionChange, lifetime_s: int, now_s: float
    ) -> tuple[str, int] | None:
        """A new token and when it expires; None where its owner has too many."""
        self._secrets = {name: old for name, old in self._secrets.items() if old.expires_at_s > now_s}
        if sum(old.owner == owner for old in self._secrets.values()) >= MAX_SECRETS_PER_OWNER:
            return None
        # The name finds the secret, so that no comparison of the secret itself depends on how much of it is right.
        name, expires_at_s = secrets.token_hex(8), int(now_s) + lifetime_s
        token = f"{PREFIX}{name}_{secrets.token_hex(24)}"
        self._secrets[name] = Secret(owner, change, expires_at_s, _digest(token))
        return token, expires_at_s

    def find(self, token: str, now_s: float) -> Secret | None:
        """What it stands for; None: it is wrong, or was right once."""
        secret = self._secrets.get(token.removeprefix(PREFIX).partition("_")[0])
        if secret is None or not hmac.compare_digest(secret.digest, _digest(token)):
            return None
        return secret if secret.expires_at_s > now_s else None

    def keep(self, owners: Collection[str]) -> None:
        """Forget those of all others: their key is no longer valid."""
        self._secrets = {name: old for name, old in self._secrets.items() if old.owner in owners}


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
