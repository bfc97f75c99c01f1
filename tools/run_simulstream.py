"""Play a list through simulstream's SeamlessM4T processor (StreamAtt) and write a log as ours, for a comparison.

    pip install --no-deps --target PEERS simulstream==1.0.0 transformers==4.48.1 tokenizers==0.21.4 \\
        huggingface_hub==0.36.0 requests certifi urllib3 idna charset_normalizer
    PYTHONPATH=PEERS:. python tools/run_simulstream.py --data talks.yaml --model DIR --to spa --output out/simulstream
    seamless-stream evaluate --data talks.yaml --rescore --output out/simulstream

Needs these versions before ours in the path: under transformers 5 its processor was not tried. Configured as its
authors do in config/seamless_streamatt.yaml, inside their VAD wrapper with its own defaults; `--whole` leaves the
wrapper out. The wrapper takes Silero from the package `silero-vad`, without a network.
"""

import argparse
import json
from types import SimpleNamespace

import numpy as np
from simulstream.server.speech_processors.seamless_streamatt import SeamlessStreamAtt
from simulstream.server.speech_processors.vad_wrapper import VADWrapperSpeechProcessor

from tools.peers import Step, arguments, run

PROCESSORS = "simulstream.server.speech_processors"


def configuration(options: argparse.Namespace) -> SimpleNamespace:
    facts = json.loads((options.model / "config.json").read_text(encoding="utf-8"))
    history = f"{PROCESSORS}.base_streamatt.FixedWordsTextHistory"
    return SimpleNamespace(
        base_speech_processor_class=f"{PROCESSORS}.seamless_streamatt.SeamlessStreamAtt",
        hf_model_name=str(options.model),
        seamless_version=2,
        num_beams=options.beams,
        speech_chunk_size=options.chunk_s,
        min_speech_size=options.min_speech_s,
        audio_history_max_duration=360,
        text_history_max_len=128,
        cross_attention_layer=min(options.layer, facts["decoder_layers"] - 1),
        cutoff_frame_num=options.frames,
        text_history=SimpleNamespace(type=history, history_words=options.history_words),
        word_level_postprocess=True,
        latency_unit="word",
    )


def stepper(processor: SeamlessStreamAtt | VADWrapperSpeechProcessor) -> Step:
    """Text from all tokens together: simulstream's own strings of two segments have no blank between them."""
    tokens: list[str] = []

    def step(chunk: np.ndarray | None) -> str:
        found = processor.end_of_stream() if chunk is None else processor.process_chunk(chunk)
        del tokens[len(tokens) - len(found.deleted_tokens) :]
        tokens.extend(found.new_tokens)
        return "".join(tokens).replace("▁", " ").strip()

    return step


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--source-language", default="eng")
    parser.add_argument("--whole", action="store_true", help="the whole recording is one segment")
    parser.add_argument("--chunk-s", type=float, default=0.5)
    parser.add_argument("--min-speech-s", type=float, default=1, help="the VAD wrapper's min_speech_size")
    parser.add_argument("--frames", type=int, default=4, help="cutoff_frame_num")
    parser.add_argument(
        "--layer", type=int, default=3, help="cross_attention_layer, of a smaller decoder the last"
    )
    parser.add_argument("--beams", type=int, default=5)
    parser.add_argument("--history-words", type=int, default=10)
    options = parser.parse_args()
    settings = configuration(options)
    kind = SeamlessStreamAtt if options.whole else VADWrapperSpeechProcessor
    kind.load_model(settings)
    processor = kind(settings)
    processor.set_source_language(options.source_language)
    processor.set_target_language(options.to)

    def begin() -> Step:
        processor.clear()
        processor.set_target_language(options.to)
        return stepper(processor)

    facts = {key: str(value) for key, value in vars(settings).items()}
    run(options, "simulstream", f"cutoff_frame_num={options.frames}", facts, options.chunk_s, begin)


if __name__ == "__main__":
    main()
