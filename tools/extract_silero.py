"""Take the weights of Silero VAD out of the TorchScript archive of the package `silero-vad` (MIT).

    python tools/extract_silero.py

Writes `seamless_stream/checkpoints/silero_vad_16k.safetensors`, so that the product opens no TorchScript (a program,
and deprecated) and needs no package for 1.2 MB of numbers. Not taken from the package's own safetensors file: in 6.2.3
that one holds the weights of another, older network, with probabilities up to 0.65 apart.
"""

import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import save_file

OUTPUT = Path(__file__).parent.parent / "seamless_stream" / "checkpoints" / "silero_vad_16k.safetensors"

# Silero's names -> ours, for the 16 kHz network (its file holds one for 8 kHz too).
NAMES = {
    "_model.stft.forward_basis_buffer": "stft_conv.weight",
    **{
        f"_model.encoder.{number - 1}.reparam_conv.{kind}": f"conv{number}.{kind}"
        for number in range(1, 5)
        for kind in ("weight", "bias")
    },
    **{
        f"_model.decoder.rnn.{name}": f"lstm_cell.{name}"
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    },
    "_model.decoder.decoder.2.weight": "final_conv.weight",
    "_model.decoder.decoder.2.bias": "final_conv.bias",
}


def main() -> None:
    package = find_spec("silero_vad")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("silero-vad is missing: pip install silero-vad==6.2.3")
    archive = Path(package.submodule_search_locations[0]) / "data" / "silero_vad.jit"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        tensors = torch.jit.load(str(archive), map_location="cpu").state_dict()
    metadata = {
        "source": "silero-vad 6.2.3, silero_vad.jit",
        "licence": "MIT, Copyright (c) 2020-present Silero Team",
    }
    save_file({ours: tensors[theirs].contiguous() for theirs, ours in NAMES.items()}, OUTPUT, metadata)
    print(f"{OUTPUT}: {OUTPUT.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
