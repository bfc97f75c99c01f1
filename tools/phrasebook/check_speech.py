"""How well the speech-output half speaks held-out sentences, heard by the judge of `judge`.

`copy` vocodes the units of real target speech (what the vocoder alone loses); `text` goes from the written
sentence through the frozen text decoder, the T2U and the vocoder. Prints error rates beside the target
voice's own.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from seamless_stream.models.seamless_m4t.config import SPECIAL_UNITS
from seamless_stream.models.seamless_m4t.model import NUM_PROMPT_TOKENS
from seamless_stream.models.seamless_m4t.t2u_nar import TextToUnit, spell
from seamless_stream.models.seamless_m4t.vocoder import Vocoder
from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.judge import Float32, transcribe, word_error_rate
from tools.phrasebook.recipe import CONFIG, LANGUAGES
from tools.phrasebook.shards import ClipSet
from tools.phrasebook.train_t2u import Corpus, decoder_states, t2u_config
from tools.phrasebook.train_vocoder import SPEAKER, vocoder_config
from tools.phrasebook.units import UnitModel, levelled, load_units, log_mel, units_path


@dataclass(frozen=True)
class Figure:
    """One line of the result."""

    language: str
    mode: str
    clips: int
    wer: float
    log_mel_l1: float | None  # natural log, against the target clip; only where lengths agree


class Speaker:
    """The trained vocoder and, where it is there, the T2U."""

    def __init__(self, work: Path) -> None:
        self.vocoder = Vocoder(vocoder_config()).eval()
        self.vocoder.load_state_dict(load_file(work / "vocoder" / "vocoder.safetensors"))
        self.t2u = TextToUnit(t2u_config()).eval()
        path = work / "t2u" / "t2u.safetensors"
        if path.exists():
            self.t2u.load_state_dict(load_file(path))

    @torch.inference_mode()
    def vocode(self, units: list[int], language: str) -> Float32:
        """Units without offset -> samples."""
        samples: Float32 = self.vocoder(torch.tensor([units]), LANGUAGES.index(language), SPEAKER)[0].numpy()
        return samples

    @torch.inference_mode()
    def units_of_text(self, corpus: Corpus, texts: dict[str, str], language: str) -> list[int]:
        """The sentence, translated from another language with its words forced, as units without offset."""
        other = next(lang for lang in LANGUAGES if lang != language)
        target = corpus.text.target(texts[language], language)[:-1]
        hidden = decoder_states(corpus.network, [corpus.text.source(texts[other], other)], [target])[0]
        spelling = spell(target[NUM_PROMPT_TOKENS:], corpus.tables, CONFIG.eos_token_id, CONFIG.pad_token_id)
        counts = torch.tensor([[0, *spelling.counts, 0]])
        lengths = torch.tensor([len(hidden)])
        logits, _ = self.t2u(hidden[None], lengths, torch.tensor([spelling.char_ids]), counts)
        units: list[int] = (logits[0, :, SPECIAL_UNITS:].argmax(1)).tolist()
        return units


def distance_of(made: Float32, real: Float32) -> float:
    """Mean absolute difference of log-mel."""
    return float(np.abs(log_mel(made) - log_mel(real)).mean())


def check(
    speaker: Speaker,
    corpus: Corpus,
    model: UnitModel,
    speech: ClipSet,
    language: str,
    mode: str,
    chosen: list[int],
) -> tuple[Figure, list[Float32], list[str]]:
    """Speaks and judges these clips of a set in one mode."""
    made, distances = [], []
    wanted = [corpus.phrases[speech.keys[index]] for index in chosen]
    for index, texts in zip(chosen, wanted, strict=True):
        real = levelled(speech.samples(index))
        if mode == "target":
            made.append(real)
        elif mode == "copy":
            made.append(speaker.vocode(model.units_of(speech.samples(index)), language))
            distances.append(distance_of(made[-1], real))
        else:
            made.append(speaker.vocode(speaker.units_of_text(corpus, texts, language), language))
    heard = transcribe(made, language)
    rate = word_error_rate([texts[language] for texts in wanted], heard, language)
    mel = round(float(np.mean(distances)), 4) if distances else None
    return Figure(language, mode, len(wanted), round(rate, 4), mel), made, heard


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    parser.add_argument(
        "--main", type=Path, help="work folder that holds the main model, where it is another"
    )
    parser.add_argument("--set", default="target_heldout")
    parser.add_argument("--modes", default="target,copy,text")
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, default=LANGUAGES)
    parser.add_argument("--listen", type=Path, help="folder for WAV files of the first clips")
    args = parser.parse_args()
    torch.set_num_threads(1)
    speaker, corpus = Speaker(args.work), Corpus(args.work, args.main or args.work, args.set, None)
    for language in args.languages:
        model = load_units(units_path(args.work, language))
        speech = ClipSet(args.work / "speech" / args.set / language)
        texts = {key: text[language] for key, text in corpus.phrases.items()}
        chosen = speech.saying(texts)[: args.clips]
        for mode in args.modes.split(","):
            figure, made, heard = check(speaker, corpus, model, speech, language, mode, chosen)
            print(json.dumps(asdict(figure)), flush=True)
            for index, text in list(zip(chosen, heard, strict=True))[:4]:
                print(f"  {texts[speech.keys[index]]} | {text}")
            if args.listen:
                _write(args.listen, f"{language}-{mode}", made[:4])


def _write(folder: Path, name: str, clips: list[Float32]) -> None:
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    for index, clip in enumerate(clips):
        soundfile.write(folder / f"{name}-{index}.wav", clip, 16_000)


if __name__ == "__main__":
    main()
