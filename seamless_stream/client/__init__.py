"""A client of the daemon, in asyncio (`connect`) and without it (`seamless_stream.client.sync.connect`).

    from seamless_stream.client import connect, to_event
    from seamless_stream.sources import open_source

    async with connect("ws://127.0.0.1:8765", to="es") as session:
        session.feed(open_source("talk.wav"), is_paced=True)
        async for message in session:
            print(to_event(message))

Loads no torch. The protocol is told in docs/protocol.md, the use of this package in docs/clients.md.
"""

from seamless_stream.client.session import Session, connect
from seamless_stream.client.wire import ConnectionLost, Incoming, SpeechFrame, to_event

__all__ = ["ConnectionLost", "Incoming", "Session", "SpeechFrame", "connect", "to_event"]
