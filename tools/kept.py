"""Folders of results that are kept from call to call: whose they are, so that nobody takes them for others.

Knows a file beside the results; nothing of what was measured.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

FACTS_NAME: Final = "made_of.json"


def claim(folder: Path, facts: Mapping[str, Any]) -> None:
    """Makes the folder one of results with these facts: weights, data, options. Facts are compared as JSON.

    Raises:
        SystemExit: it holds results with others, or of which nothing is known.
    """
    path = folder / FACTS_NAME
    wanted = json.loads(json.dumps(facts))
    if not path.exists():
        if folder.exists() and any(folder.iterdir()):
            raise SystemExit(f"{folder} holds results of which nothing is known: choose another --output.")
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    others = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    if others:
        listed = "; ".join(f"`{name}` is {wanted.get(name)}, but was {found.get(name)}" for name in others)
        raise SystemExit(f"{folder} holds other results ({listed}): choose another --output.")
