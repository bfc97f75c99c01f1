"""The daemon: a WebSocket server around the worker. Nothing outside this folder imports asyncio."""
