"""Who may connect: API keys, Origins, and how many sessions a key has.

Pure but for reading the keys once. Keys are compared as digests in constant time, all of them every time.
"""

import hashlib
import hmac
import ipaddress
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from seamless_stream.errors import SettingsError
from seamless_stream.settings import ServerSettings

ENVIRONMENT: Final = "SEAMLESS_STREAM_API_KEYS"
# Browsers cannot set headers, so they offer their token among the subprotocols; the second is what the public
# OpenAI browser clients do.
TOKEN_ITEMS: Final = ("bearer.", "openai-insecure-api-key.")


def load_keys(settings: ServerSettings, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The keys of file and environment; raises SettingsError where anybody could connect without one."""
    keys = [key.strip() for key in environment.get(ENVIRONMENT, "").split(",")]
    if settings.keys_file is not None:
        try:
            lines = Path(settings.keys_file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"`server.keys_file` must be a text file, but is not: {error}.") from error
        keys += [line.strip() for line in lines if not line.lstrip().startswith("#")]
    found = tuple(key for key in keys if key)
    if not found and not settings.allows_anonymous and not _is_local(settings.host):
        raise SettingsError(
            f"`server.host` must be of this machine while there are no API keys, but is {settings.host}:"
            f" give `server.keys_file` or {ENVIRONMENT}, or say `server.allows_anonymous: true`."
        )
    return found


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Access:
    """Which key a request has, and the sessions of each key."""

    def __init__(self, settings: ServerSettings, keys: Sequence[str]) -> None:
        self._settings = settings
        self._digests = [_digest(key) for key in keys]
        self._counts: Counter[int] = Counter()

    def owner(self, authorization: str | None, subprotocols: Sequence[str]) -> int | None:
        """A number for the key of a request; 0 where no keys are needed, None: there is no right one."""
        if not self._digests:
            return 0
        token = _token(authorization, subprotocols)
        digest = _digest(token or "")
        found = None
        for number, known in enumerate(self._digests):
            if hmac.compare_digest(digest, known):
                found = number
        return found if token else None

    def is_origin_allowed(self, origin: str | None) -> bool:
        """Pages of other sites must not use the visitor's network to reach this server."""
        return origin is None or origin in self._settings.allowed_origins

    def has_room(self, owner: int) -> bool:
        """Whether this key may have one more session."""
        is_full = self._counts.total() >= self._settings.max_sessions
        return not is_full and self._counts[owner] < self._settings.max_sessions_per_key

    @property
    def num_sessions(self) -> int:
        """Of all keys."""
        return self._counts.total()

    def enter(self, owner: int) -> None:
        """A session begins."""
        self._counts[owner] += 1

    def leave(self, owner: int) -> None:
        """It is over."""
        self._counts[owner] -= 1


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _token(authorization: str | None, subprotocols: Sequence[str]) -> str | None:
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None
    for item in subprotocols:
        for prefix in TOKEN_ITEMS:
            if item.startswith(prefix):
                return item.removeprefix(prefix)
    return None
