"""`python -m seamless_stream` is `seamless-stream`."""

from seamless_stream.cli import main

raise SystemExit(main())
