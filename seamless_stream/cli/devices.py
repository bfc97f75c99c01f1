"""`seamless-stream devices`: the microphones, loudspeakers and loopbacks that `live` can use, with their numbers."""

import json
from argparse import Namespace

from rich.console import Console
from rich.table import Table

from seamless_stream.cli.shared import consoles
from seamless_stream.devices import Device, list_devices

USE = {"input": "--source mic:{0}", "output": "--sink speaker:{0}", "loopback": "--source loopback:{0}"}


def run(arguments: Namespace) -> int:
    """0, also where there is none; raises AudioError where PortAudio is missing."""
    out, notes = consoles(arguments)
    devices = list_devices()
    if arguments.json:
        out.print(json.dumps([_plain(device) for device in devices], ensure_ascii=False, indent=2))
        return 0
    if not devices:
        notes.print("There is no sound device here; `live` can still use files and pipes.")
        return 0
    _show(out, devices)
    notes.print(
        "* is taken by plain `mic`, `speaker` and `loopback`; a part of a name is enough, as in `mic:usb`."
    )
    return 0


def _plain(device: Device) -> dict[str, object]:
    wanted = ("number", "kind", "name", "description", "system", "rate", "channels", "is_default")
    return {name: getattr(device, name) for name in wanted}


def _show(out: Console, devices: list[Device]) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("", "kind", "use", "rate", "name"):
        table.add_column(column, overflow="fold", no_wrap=column != "name")
    for device in devices:
        name = device.name if device.description == device.name else f"{device.description} ({device.name})"
        mark = "*" if device.is_default else ""
        table.add_row(mark, device.kind, USE[device.kind].format(device.number), f"{device.rate} Hz", name)
    out.print(table, soft_wrap=False)
