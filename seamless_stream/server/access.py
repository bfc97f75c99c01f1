"""Who may connect: API keys, client secrets, Origins, and how many sessions a key has.

Pure but for reading the keys. Keys are compared as digests in constant time, all of them every time.
"""

import hashlib
import hmac
import ipaddress
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from seamless_stream.errors import SettingsError
from seamless_stream.server.changes import SessionChange
from seamless_stream.server.tokens import PREFIX, ClientSecrets
from seamless_stream.settings import Readers, ServerSettings

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


@dataclass(frozen=True)
class Grant:
    """What a request may do: sessions of this owner, which begin with this change where a secret says so."""

    owner: str
    change: SessionChange | None = None


class Access:
    """Whose a request is, and the sessions of each owner: the digest of a key, or empty where no keys are needed."""

    def __init__(self, settings: ServerSettings, keys: Sequence[str]) -> None:
        self._settings = settings
        self._counts: Counter[str] = Counter()
        self.secrets = ClientSecrets()
        self.replace_keys(keys)

    def replace_keys(self, keys: Sequence[str]) -> None:
        """From now on these are valid; sessions that are open go on."""
        self._digests = [_digest(key) for key in keys]
        self.secrets.keep(self._digests or [""])

    def grant(self, authorization: str | None, subprotocols: Sequence[str], now_s: float) -> Grant | None:
        """By key or client secret; None: neither is right."""
        token = token_of(authorization, subprotocols)
        if token is not None and token.startswith(PREFIX):
            secret = self.secrets.find(token, now_s)
            if secret is not None:
                return Grant(secret.owner, secret.change)
        owner = self._owner(token)
        return None if owner is None else Grant(owner)

    def _owner(self, token: str | None) -> str | None:
        if not self._digests:
            return ""
        digest, found = _digest(token or ""), None
        for known in self._digests:
            if hmac.compare_digest(digest, known):
                found = known
        return found if token else None

    def is_origin_allowed(self, origin: str | None, host: str | None) -> bool:
        """Pages of other sites must not use the visitor's network to reach this server; our own page may.

        Our own is where the browser found it. A name could be another site's that points to this machine, so without
        keys only an address or localhost is believed.
        """
        if origin is None or origin in self._settings.allowed_origins:
            return True
        url = urlsplit(origin)
        is_own = host is not None and url.scheme in ("http", "https") and url.netloc.lower() == host.lower()
        return is_own and (bool(self._digests) or _is_address(url.hostname or ""))

    def may_read(self, rule: Readers, peer: str, is_forwarded: bool, grant: Grant | None) -> bool:
        """Whether a request may read what is for `rule`; a proxy on this machine does not make its clients local."""
        if rule == "local":
            return (not peer or _is_local(peer)) and not is_forwarded
        return rule == "all" or (grant is not None and grant.change is None)

    def has_room(self, owner: str) -> bool:
        """Whether this key may have one more session."""
        is_full = self._counts.total() >= self._settings.max_sessions
        return not is_full and self._counts[owner] < self._settings.max_sessions_per_key

    @property
    def num_sessions(self) -> int:
        """Of all keys."""
        return self._counts.total()

    def enter(self, owner: str) -> None:
        """A session begins."""
        self._counts[owner] += 1

    def leave(self, owner: str) -> None:
        """It is over."""
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def token_of(authorization: str | None, subprotocols: Sequence[str]) -> str | None:
    """What a request shows, in its header or among the subprotocols that it offers."""
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None
    for item in subprotocols:
        for prefix in TOKEN_ITEMS:
            if item.startswith(prefix):
                return item.removeprefix(prefix)
    return None
