"""Streaming speech translation around SeamlessM4T v2.

    import seamless_stream

    translator = seamless_stream.load("phrasebook")
    print(translator.translate("hello.wav", target_language="spanish").text)

The public names are imported when they are used, so that `seamless-stream --help` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seamless_stream.engine.engine import Engine
    from seamless_stream.engine.session import Session
    from seamless_stream.engine.translator import Translation, Translator, load
    from seamless_stream.settings import Settings

__version__ = "0.1.0"
__all__ = ["Engine", "Session", "Settings", "Translation", "Translator", "load"]

_HOMES = {
    "Engine": "seamless_stream.engine.engine",
    "Session": "seamless_stream.engine.session",
    "Settings": "seamless_stream.settings",
    "Translation": "seamless_stream.engine.translator",
    "Translator": "seamless_stream.engine.translator",
    "load": "seamless_stream.engine.translator",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
