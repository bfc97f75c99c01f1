"""Time the speech encoder against the one of transformers, alternating in one run.

    python tools/bench_encoder.py [--seconds 10] [--layers 24] [--rounds 5] [--threads N]

Layers are those of v2-large with random weights, the same in both; their outputs are compared before anything is
timed. Machines change speed within minutes, so only times of one round are comparable: the ratio of each round is
taken, and their median and spread are what to quote.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seamless_stream.models.seamless_m4t.config import SeamlessM4TConfig
from seamless_stream.models.seamless_m4t.encoder import SpeechEncoder
from seamless_stream.models.seamless_m4t.weights import to_ours

FRAMES_PER_SECOND = 50  # stacked features
TOLERANCE = 1e-4


def build_reference(layers: int) -> Any:
    """The reference's encoder, with weights that keep activations near one."""
    from transformers import SeamlessM4Tv2Config
    from transformers.models.seamless_m4t_v2 import modeling_seamless_m4t_v2

    config = SeamlessM4Tv2Config(speech_encoder_layers=layers)
    config._attn_implementation = "sdpa"
    encoder: Any = modeling_seamless_m4t_v2.SeamlessM4Tv2SpeechEncoder(config)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in encoder.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
    return encoder.eval()


def build_ours(reference: Any, layers: int) -> SpeechEncoder:
    """Our encoder with the reference's very tensors, so that the memory is needed once."""
    with torch.device("meta"):
        encoder = SpeechEncoder(SeamlessM4TConfig(speech_encoder_layers=layers))
    slots = encoder.state_dict()
    values = {}
    for name, tensor in reference.state_dict().items():
        ours = (to_ours(f"speech_encoder.{name}", tied=True) or "").removeprefix("speech_encoder.")
        values[ours] = tensor.view(slots[ours].shape)
    encoder.load_state_dict(values, assign=True)
    return encoder.eval()


def timed(call: Callable[[], Tensor]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def describe(name: str, values: list[float], unit: str) -> str:
    """Median and range of one row."""
    return f"{name:<14} {statistics.median(values):7.3f} {unit}  [{min(values):.3f} .. {max(values):.3f}]"


@torch.inference_mode()
def bench(seconds: float, layers: int, rounds: int) -> None:
    """Check, warm up, alternate, print."""
    reference = build_reference(layers)
    ours = build_ours(reference, layers)
    length = round(seconds * FRAMES_PER_SECOND) - 1
    features = torch.randn(1, length, 160)
    mask, sizes = torch.ones(1, length, dtype=torch.int64), torch.tensor([length])

    def run_reference() -> Tensor:
        states: Tensor = reference(input_features=features, attention_mask=mask).last_hidden_state
        return states

    def run_ours() -> Tensor:
        states: Tensor = ours(features, sizes, sizes)[0]
        return states

    difference = float((run_reference() - run_ours()).abs().max())
    print(
        f"{seconds:g} s of speech, {length} positions, {layers} layers, {torch.get_num_threads()} threads, float32"
    )
    print(f"greatest difference of the two outputs: {difference:.1e}")
    if not difference <= TOLERANCE:
        raise SystemExit("The outputs differ: there is nothing to time.")
    pairs = [(timed(run_reference), timed(run_ours)) for _ in range(rounds)]
    print(describe("transformers", [theirs for theirs, _ in pairs], "s"))
    print(describe("ours", [mine for _, mine in pairs], "s"))
    print(describe("ratio", [theirs / mine for theirs, mine in pairs], "x"))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: as torch chooses")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    bench(arguments.seconds, arguments.layers, arguments.rounds)


if __name__ == "__main__":
    main()
