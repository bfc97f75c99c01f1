"""Streaming speech translation around SeamlessM4T v2."""

__version__ = "0.1.0"
