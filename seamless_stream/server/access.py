"""Who may connect: API keys and their scopes, client secrets, Origins, and how many sessions a key has.

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
from typing import Final, Literal, get_args
from urllib.parse import urlsplit

from seamless_stream.errors import SettingsError
from seamless_stream.server.changes import SessionChange
from seamless_stream.server.tokens import PREFIX, ClientSecrets
from seamless_stream.settings import Readers, ServerSettings

ENVIRONMENT: Final = "SEAMLESS_STREAM_API_KEYS"
# Browsers cannot set headers, so they offer their token among the subprotocols; the second is what the public
# OpenAI browser clients do.
TOKEN_ITEMS: Final = ("bearer.", "openai-insecure-api-key.")

Scope = Literal[
    "translate", "secrets", "metrics"
]  # to begin sessions, to make client secrets, to read /metrics
ALL: Final[frozenset[Scope]] = frozenset(get_args(Scope))


@dataclass(frozen=True)
class Key:
    """An API key and what it is good for."""

    text: str
    scopes: frozenset[Scope] = ALL

    @classmethod
    def of(cls, line: str) -> "Key":
        """`KEY` or `KEY SCOPE,SCOPE`; raises SettingsError, which shows nothing of the line."""
        text, *rest = line.split(None, 1)
        if not rest:
            return cls(text)
        names = {name.strip() for name in rest[0].split(",")}
        scopes = frozenset(scope for scope in get_args(Scope) if scope in names)
        if names != scopes:
            known = ", ".join(get_args(Scope))
            raise SettingsError(
                f"`server.keys_file` must have only {known}, with commas, behind a key, but has others."
            )
        return cls(text, scopes)


def load_keys(
    settings: ServerSettings, environment: Mapping[str, str] = os.environ, host: str | None = None
) -> tuple[Key, ...]:
    """The keys of file and environment; raises SettingsError where anybody could connect who should not.

    `host` is where the server listens, if that is not what the settings say.
    """
    keys = [Key(key.strip()) for key in environment.get(ENVIRONMENT, "").split(",") if key.strip()]
    if settings.keys_file is not None:
        try:
            lines = Path(settings.keys_file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"`server.keys_file` must be a text file, but is not: {error}.") from error
        keys += [Key.of(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if keys or settings.allows_anonymous:
        return tuple(keys)
    if settings.keys_file is not None:  # whoever takes the last key away does not mean to let everybody in
        raise SettingsError(
            "`server.keys_file` must have a key, but has none: say `server.allows_anonymous: true` for a server"
            " without keys."
        )
    host = settings.host if host is None else host
    if not _is_local(host):
        raise SettingsError(
            f"`server.host` must be of this machine while there are no API keys, but is {host}:"
            f" give `server.keys_file` or {ENVIRONMENT}, or say `server.allows_anonymous: true`."
        )
    return ()


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class Grant:
    """What a request may do, and whose sessions are its; they begin with this change where a secret says so."""

    owner: str
    scopes: frozenset[Scope] = ALL
    change: SessionChange | None = None


class Access:
    """Whose a request is, and the sessions of each owner: the digest of a key, or empty where no keys are needed."""

    def __init__(self, settings: ServerSettings, keys: Sequence[Key]) -> None:
        self._settings = settings
        self._counts: Counter[str] = Counter()
        self.secrets = ClientSecrets()
        self.replace_keys(keys)

    def replace_keys(self, keys: Sequence[Key]) -> None:
        """From now on these are valid; sessions that are open go on."""
        self._scopes = {_digest(key.text): key.scopes for key in keys}
        makers = [owner for owner, scopes in self._scopes.items() if "secrets" in scopes]
        self.secrets.keep(makers if keys else [""])

    def grant(self, authorization: str | None, subprotocols: Sequence[str], now_s: float) -> Grant | None:
        """By key or client secret; None: neither is right."""
        token = token_of(authorization, subprotocols)
        if token is not None and token.startswith(PREFIX):
            secret = self.secrets.find(token, now_s)
            if secret is not None:
                return Grant(secret.owner, frozenset({"translate"}), secret.change)
        owner = self._owner(token)
        return None if owner is None else Grant(owner, self._scopes.get(owner, ALL))

    def _owner(self, token: str | None) -> str | None:
        if not self._scopes:
            return ""
        digest, found = _digest(token or ""), None
        for known in self._scopes:
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
        try:
            url = urlsplit(origin)
        except ValueError:
            return False
        is_own = host is not None and url.scheme in ("http", "https") and url.netloc.lower() == host.lower()
        return is_own and (bool(self._scopes) or _is_address(url.hostname or ""))

    def may_read(self, rule: Readers, peer: str, is_forwarded: bool, grant: Grant | None) -> bool:
        """Whether a request may read what is for `rule`; a proxy on this machine does not make its clients local."""
        if rule == "local":
            return (not peer or _is_local(peer)) and not is_forwarded
        return rule == "all" or (grant is not None and "metrics" in grant.scopes)

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
