"""Play a list through `transformers`' SeamlessM4T v2 with local agreement and write a log as ours, for a comparison.

    python tools/run_agreement.py --data talks.yaml --model DIR --to spa --output out/agreement
    seamless-stream evaluate --data talks.yaml --rescore --output out/agreement

In the way of the baseline of IWSLT 2025 and 2026 (github.com/pe-trik/iwslt25-baselines): Silero cuts segments of 2 to
20 s at the first short pause; every `--step-s` all of the open segment is encoded again, the committed tokens are the
decoder's prefix, and what two hypotheses begin with alike is committed (Liu et al. 2020, arXiv 2005.11185). Pause and
threshold are those of its best published runs. Unlike there, committed tokens become text together, so that a word in
several pieces stays one.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from silero_vad import load_silero_vad
from transformers import AutoTokenizer, SeamlessM4TFeatureExtractor, SeamlessM4Tv2ForSpeechToText, logging

from seamless_stream.audio.fbank import SAMPLE_RATE
from tools.peers import Step, arguments, run

WINDOW_SAMPLES = 512
MIN_SAMPLES = 4_000  # what is shorter is not translated


class Voice:
    """Silero's probabilities of one stream, window by window."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        model.reset_states()  # type: ignore[operator]

    def probability(self, window: np.ndarray) -> float:
        """[512] -> 0 to 1."""
        with torch.inference_mode():
            return float(self._model(torch.from_numpy(window), SAMPLE_RATE))


@dataclass
class Segments:
    """Cuts as the baseline does: every sample belongs to a segment, also the silence before the speech."""

    voice: Voice
    threshold: float
    pause_s: float
    min_s: float
    max_s: float
    samples: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))  # of the open segment
    waiting: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))  # not a whole window yet
    voiced_windows: int = 0
    silent_windows: int = 0  # at its end

    def push(self, chunk: np.ndarray) -> list[np.ndarray]:
        """More audio -> the segments with speech that it closes."""
        self.waiting = np.concatenate([self.waiting, chunk.astype(np.float32)])
        closed = []
        while len(self.waiting) >= WINDOW_SAMPLES:
            window, self.waiting = np.split(self.waiting, [WINDOW_SAMPLES])
            self._add(window)
            length_s = len(self.samples) / SAMPLE_RATE
            is_pause = self.silent_windows * WINDOW_SAMPLES / SAMPLE_RATE >= self.pause_s
            if length_s >= self.min_s and (is_pause or length_s >= self.max_s):
                closed += [self.samples] if self.voiced_windows else []
                self._begin()
        return closed

    def flush(self) -> list[np.ndarray]:
        """The end of the stream."""
        samples = np.concatenate([self.samples, self.waiting])
        closed = [samples] if self.voiced_windows else []
        self._begin()
        return closed

    def _add(self, window: np.ndarray) -> None:
        is_voiced = self.voice.probability(window) > self.threshold
        self.voiced_windows += is_voiced
        self.silent_windows = 0 if is_voiced else self.silent_windows + 1
        self.samples = np.concatenate([self.samples, window])

    def _begin(self) -> None:
        self.samples = np.zeros(0, np.float32)
        self.voiced_windows = self.silent_windows = 0


class Agreement:
    """One recording: text of the closed segments, and what two hypotheses of the open one agree on."""

    def __init__(self, model: "Model", segments: Segments, step_s: float) -> None:
        self._model = model
        self._segments = segments
        self._step_s = step_s
        self._texts: list[str] = []
        self._begin()

    def step(self, chunk: np.ndarray | None) -> str:
        """Audio -> all that is committed."""
        for samples in self._segments.flush() if chunk is None else self._segments.push(chunk):
            if len(samples) >= MIN_SAMPLES:
                self._committed = self._model.translate(samples, self._committed)
            self._texts.append(self._model.text(self._committed))
            self._begin()
        samples = self._segments.samples
        length_s = len(samples) / SAMPLE_RATE
        is_due = length_s >= self._translated_s + self._step_s and self._segments.voiced_windows > 0
        if is_due and len(samples) >= MIN_SAMPLES:
            self._translated_s = length_s
            self._agree(self._model.translate(samples, self._committed))
        return " ".join(filter(None, [*self._texts, self._model.text(self._committed)]))

    def _begin(self) -> None:
        self._committed: list[int] = []
        self._previous: list[int] = []
        self._translated_s = 0.0

    def _agree(self, hypothesis: list[int]) -> None:
        pairs = zip(self._previous, hypothesis, strict=False)
        alike = [*(a == b for a, b in pairs), False].index(False)
        self._previous = hypothesis
        if alike > len(self._committed):
            self._committed = hypothesis[:alike]


class Model:
    """transformers' own classes and its `generate`, nothing of ours."""

    def __init__(self, path: str, language: str, beams: int) -> None:
        self._model = SeamlessM4Tv2ForSpeechToText.from_pretrained(path).eval()
        self._features = SeamlessM4TFeatureExtractor.from_pretrained(path)
        self._tokenizer = AutoTokenizer.from_pretrained(path)
        codes = self._model.generation_config.text_decoder_lang_to_code_id
        self._start = [self._model.generation_config.decoder_start_token_id, codes[language]]
        self._beams = beams

    def translate(self, samples: np.ndarray, committed: list[int]) -> list[int]:
        """Samples [n] and a forced beginning -> the tokens of the whole answer."""
        found = self._features(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        prefix = torch.tensor([[*self._start, *committed]])
        with torch.inference_mode():
            output = self._model.generate(**found, decoder_input_ids=prefix, num_beams=self._beams)
        tokens: list[int] = output[0].tolist()[len(self._start) :]
        eos = self._model.generation_config.eos_token_id
        return tokens[: tokens.index(eos)] if eos in tokens else tokens

    def text(self, tokens: list[int]) -> str:
        """Tokens -> text."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True)).strip()


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--step-s", type=float, default=1.0, help="between two hypotheses")
    parser.add_argument("--chunk-s", type=float, default=0.1)
    parser.add_argument("--pause-s", type=float, default=0.1)
    parser.add_argument("--threshold", type=float, default=0.2)
    parser.add_argument("--min-segment-s", type=float, default=2.0)
    parser.add_argument("--max-segment-s", type=float, default=20.0)
    parser.add_argument("--beams", type=int, default=1)
    options = parser.parse_args()
    logging.set_verbosity_error()  # weights of the speech side are not loaded; the prefix has the language
    model = Model(str(options.model), options.to, options.beams)
    silero = load_silero_vad()

    def begin() -> Step:
        limits = (options.threshold, options.pause_s, options.min_segment_s, options.max_segment_s)
        return Agreement(model, Segments(Voice(silero), *limits), options.step_s).step

    facts = {key: str(value) for key, value in vars(options).items()}
    run(options, "transformers agreement", f"step_s={options.step_s:g}", facts, options.chunk_s, begin)


if __name__ == "__main__":
    main()
