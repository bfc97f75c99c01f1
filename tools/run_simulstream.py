"""Play a list through simulstream's SeamlessM4T processor (StreamAtt) and write a log as ours, for a comparison.

    pip install --no-deps --target PEERS simulstream==1.0.0 transformers==4.48.1 tokenizers==0.21.4 \\
        huggingface_hub==0.36.0 requests certifi urllib3 idna charset_normalizer
    PYTHONPATH=PEERS:. python tools/run_simulstream.py --data talks.yaml --model DIR --to spa --output out/simulstream
    seamless-stream evaluate --data talks.yaml --rescore --output out/simulstream

Needs these versions before ours in the path: under transformers 5 its processor was not tried. The whole recording is
one segment; layer, cut-off and history are simulstream's own options. Computing is counted in processor time.
"""

import argparse
import time
from pathlib import Path
from types import SimpleNamespace

from simulstream.server.speech_processors.seamless_streamatt import SeamlessStreamAtt

from seamless_stream.audio.fbank import SAMPLE_RATE
from seamless_stream.audio.files import AudioFile
from seamless_stream.evaluation.corpus import Recording, read_corpus
from seamless_stream.evaluation.log import LogWriter, Moment
from seamless_stream.events import Final, Partial


def configuration(options: argparse.Namespace) -> SimpleNamespace:
    history = "simulstream.server.speech_processors.base_streamatt.FixedWordsTextHistory"
    return SimpleNamespace(
        hf_model_name=str(options.model),
        seamless_version=2,
        num_beams=options.beams,
        speech_chunk_size=options.chunk_s,
        cross_attention_layer=options.layer,
        cutoff_frame_num=options.frames,
        text_history=SimpleNamespace(type=history, history_words=options.history_words),
        word_level_postprocess=True,
        latency_unit="word",
    )


def play(
    processor: SeamlessStreamAtt, recording: Recording, options: argparse.Namespace, log: LogWriter
) -> None:
    """One recording, with the clock of `evaluation.run`: computing begins when its source is heard."""
    processor.clear()
    log.begin(recording.name, recording.path)
    text, num_samples, free_s = "", 0, 0.0
    chunks = list(AudioFile(recording.path).chunks(round(options.chunk_s * SAMPLE_RATE)))
    for chunk in [*chunks, None]:
        num_samples += 0 if chunk is None else len(chunk)
        heard_s, cpu = num_samples / SAMPLE_RATE, time.process_time()
        found = processor.end_of_stream() if chunk is None else processor.process_chunk(chunk)
        taken_s = time.process_time() - cpu
        free_s = max(free_s, heard_s) + taken_s
        moment = Moment(heard_s, free_s, free_s)
        if found.deleted_string:
            text = text.removesuffix(found.deleted_string)
        if found.new_string:
            text += found.new_string
            log.event(Partial(0, options.to, text.strip(), ""), moment)
        log.chunk(moment, taken_s, taken_s)
    log.event(Final(0, options.to, text.strip(), 0.0, num_samples / SAMPLE_RATE), moment)
    log.end(num_samples / SAMPLE_RATE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument(
        "--model", type=Path, required=True, help="a transformers directory of SeamlessM4T v2"
    )
    parser.add_argument("--to", required=True)
    parser.add_argument("--source-language", default="eng")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--chunk-s", type=float, default=1.0)
    parser.add_argument("--frames", type=int, default=4, help="simulstream's cutoff_frame_num")
    parser.add_argument("--layer", type=int, default=3, help="simulstream's cross_attention_layer")
    parser.add_argument("--beams", type=int, default=5)
    parser.add_argument("--history-words", type=int, default=20)
    options = parser.parse_args()
    settings = configuration(options)
    SeamlessStreamAtt.load_model(settings)
    processor = SeamlessStreamAtt(settings)
    processor.set_source_language(options.source_language)
    processor.set_target_language(options.to)
    note = f"cutoff_frame_num={options.frames}"
    folder = options.output / f"simulstream-{options.frames}"
    folder.mkdir(parents=True, exist_ok=True)
    header = {
        "label": "simulstream StreamAtt",
        "note": note,
        "clock": "simulated",
        "timer": "cpu",
        "language": options.to,
        "model": str(options.model),
        "data": str(options.data),
        "settings": {key: str(value) for key, value in vars(settings).items()},
    }
    with LogWriter(folder / "log.jsonl", header) as log:
        for recording in read_corpus(options.data)[: options.limit]:
            play(processor, recording, options, log)


if __name__ == "__main__":
    main()
