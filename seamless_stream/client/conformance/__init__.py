"""What docs/protocol.md promises, as named checks that any server can be asked to keep.

A check returns where the promise holds, raises Broken where it does not, and Unsuited where this server cannot be
asked. Its docstring is the promise.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from websockets.exceptions import ConnectionClosed, InvalidHandshake

# These fill the list.
from seamless_stream.client.conformance import basics, choices, life, sessions, sharing  # noqa: F401
from seamless_stream.client.conformance.target import CHECKS, Broken, Check, Target, Unsuited
from seamless_stream.errors import RemoteError

__all__ = ["CHECKS", "Result", "Target", "run_checks"]

Outcome = Literal["pass", "fail", "skipped"]


@dataclass(frozen=True)
class Result:
    """Of one check."""

    name: str
    promise: str
    outcome: Outcome
    reason: str = ""


async def examine(target: Target, told: Callable[[Result], None]) -> list[Result]:
    """All checks, one after another; raises RemoteError where no server is there."""
    try:
        async with target.socket():
            pass
    except (OSError, InvalidHandshake, TimeoutError) as error:
        raise RemoteError(f"{target.url} cannot be reached: {error}.") from None
    results = []
    for name, function in CHECKS.items():
        results.append(await _result(name, function, target))
        told(results[-1])
    return results


async def _result(name: str, function: Check, target: Target) -> Result:
    promise = (function.__doc__ or "").strip()
    try:
        await function(target)
    except Unsuited as error:
        return Result(name, promise, "skipped", str(error))
    except (Broken, RemoteError) as error:
        return Result(name, promise, "fail", str(error))
    except ConnectionClosed as error:
        return Result(name, promise, "fail", f"the connection was closed: {error}")
    except (OSError, InvalidHandshake, TimeoutError) as error:
        return Result(name, promise, "fail", f"the connection failed: {error}")
    except (KeyError, TypeError, ValueError) as error:  # messages of another form than promised
        return Result(name, promise, "fail", f"a message is not as promised: {type(error).__name__} {error}")
    return Result(name, promise, "pass")


def run_checks(target: Target, told: Callable[[Result], None]) -> list[Result]:
    """For programs without asyncio."""
    return asyncio.run(examine(target, told))
