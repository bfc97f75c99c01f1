"""Which voices there are, whose they are, and in which set each one speaks.

A table of voices (facts) and a table of casts (choices). How an engine is driven is in `engines.py`; what is
said is in the corpus. No speaker of an unseen cast speaks in a training cast, in any language.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.engines import fetch_kokoro, has_kokoro, use_kokoro
from tools.phrasebook.recipe import LANGUAGES

APACHE: Final = "Apache-2.0"
CMU: Final = "CMU (free, BSD-like)"
CSTR: Final = "CSTR and CMU (free, BSD-like)"
OWN_OUTPUT: Final = "engine GPL-3.0, no claim on its output"


# Kokoro's voices in training. Those of the unseen sets, and all others called Santa, speak in none.
KOKORO_ENGLISH: Final = (
    "af_bella am_fenrir bf_emma bm_george af_kore am_eric bf_isabella bm_lewis af_heart af_nova af_nicole af_sky "
    "af_jessica af_river af_alloy am_adam am_liam am_onyx am_echo bf_alice bf_lily bm_daniel bm_fable"
)
KOKORO_SPANISH: Final = (
    "em_alex ef_dora af_bella bf_emma bm_george if_sara im_nicola pf_dora pm_alex af_kore af_nova af_jessica am_adam "
    "am_eric am_fenrir am_liam bm_lewis bm_daniel bf_alice ff_siwis hm_omega hf_alpha"
)
# Whom Whisper base understands: those who speak a Romance language in French, a few in German.
KOKORO_FRENCH: Final = "ff_siwis if_sara em_alex ef_dora im_nicola pf_dora pm_alex"
KOKORO_GERMAN: Final = "if_sara em_alex bm_george hm_psi hf_alpha im_nicola"


@dataclass(frozen=True)
class Voice:
    name: str
    engine: str
    language: str
    model: str
    licence: str


def _voices(engine: str, language: str, licence: str, models: dict[str, str]) -> list[Voice]:
    return [Voice(name, engine, language, model, licence) for name, model in models.items()]


def _kokoro(language: str, code: str, names: str) -> list[Voice]:
    return _voices("kokoro", language, APACHE, {f"kokoro-{code}-{n}": f"{code}:{n}" for n in names.split()})


def _espeak(language: str, models: str) -> list[Voice]:
    return _voices("espeak", language, OWN_OUTPUT, {f"espeak-{model}": model for model in models.split()})


_ALL: Final = [
    *_voices("pico", "eng", APACHE, {"pico-en-GB": "en-GB", "pico-en-US": "en-US"}),
    *_voices("pico", "spa", APACHE, {"pico-es-ES": "es-ES"}),
    *_voices("pico", "fra", APACHE, {"pico-fr-FR": "fr-FR"}),
    *_voices("pico", "deu", APACHE, {"pico-de-DE": "de-DE"}),
    *_voices("flite", "eng", CMU, {f"flite-{name}": name for name in ("slt", "rms", "awb", "kal16")}),
    *_voices("festival", "eng", CSTR, {"festival-ked": "ked_diphone"}),
    *_voices("festival", "eng", CMU, {"festival-slt-hts": "cmu_us_slt_arctic_hts"}),
    *_voices("hibari", "eng", APACHE, {"hibari-heart": "heart"}),
    *_espeak("eng", "en-us+m3 en-gb en-gb-x-rp+f2 en-us+f4 en-gb-scotland+m7"),
    *_espeak("spa", "es es+f2 es+m3 es+f4 es-419+m7 es-419+f3"),
    *_espeak("fra", "fr fr+f2 fr-be+m3 fr-ch+f4 fr-be+f3 fr-ch+m7"),
    *_espeak("deu", "de de+f2 de+m3 de+f4 de+m7 de+f3"),
    *_kokoro("eng", "en", "am_puck af_sarah"),
    *_kokoro("eng", "en", KOKORO_ENGLISH),
    *_kokoro("spa", "es", "em_santa am_michael"),
    *_kokoro("spa", "es", KOKORO_SPANISH),
    *_kokoro("fra", "fr", "em_santa pm_santa"),
    *_kokoro("fra", "fr", KOKORO_FRENCH),
    *_kokoro("deu", "de", "em_santa hf_beta"),
    *_kokoro("deu", "de", KOKORO_GERMAN),
]
VOICES: Final = {voice.name: voice for voice in _ALL}
KOKORO_NAMES: Final = frozenset(v.model.split(":")[1] for v in _ALL if v.engine == "kokoro")

Range = tuple[float, float]


@dataclass(frozen=True)
class Role:
    """A voice in a set: how often it speaks, and between which limits its factors are drawn.

    `warp` resamples the finished speech, which moves pitch and formants together (another throat); the
    engine's speed makes up for it where the engine has one.
    """

    voice: str
    weight: float
    pitch: Range = (1.0, 1.0)
    speed: Range = (1.0, 1.0)
    warp: Range = (1.0, 1.0)


def _group(
    names: str, weight: float, speed: Range = (1.0, 1.0), warp: Range = (1.0, 1.0)
) -> tuple[Role, ...]:
    """Voices that share `weight` evenly."""
    voices = names.split()
    return tuple(Role(name, weight / len(voices), speed=speed, warp=warp) for name in voices)


def _named(prefix: str, voices: str) -> str:
    return " ".join(prefix + voice for voice in voices.split())


_NARROW: Final = (0.95, 1.06)
_WIDE: Final = (0.86, 1.16)
_PACE: Final = (0.88, 1.15)


def _three_of_pico(voice: str, weight: float) -> tuple[Role, ...]:
    """The one Pico voice of a language as three speakers: as it is, a lower and a higher one."""
    return (
        Role(voice, 0.40 * weight, (0.92, 1.10), _PACE, _NARROW),
        Role(voice, 0.31 * weight, (0.72, 0.88), _PACE, (0.85, 0.94)),
        Role(voice, 0.29 * weight, (1.04, 1.25), _PACE, (1.04, 1.14)),
    )


def _many_of_pico(voice: str, weight: float) -> tuple[Role, ...]:
    """The same with wider limits."""
    return (
        Role(voice, 0.48 * weight, (0.85, 1.20), _PACE, (0.92, 1.10)),
        Role(voice, 0.27 * weight, (0.68, 0.90), _PACE, (0.82, 0.94)),
        Role(voice, 0.25 * weight, (1.00, 1.25), _PACE, (1.04, 1.18)),
    )


_TRAIN1: Final[dict[str, tuple[Role, ...]]] = {
    "eng": (
        Role("pico-en-GB", 0.30, (0.90, 1.12), _PACE, _NARROW),
        Role("pico-en-US", 0.26, (0.90, 1.12), _PACE, _NARROW),
        *_group("flite-slt flite-rms", 0.44, _PACE, _NARROW),
    ),
    "spa": (
        Role("pico-es-ES", 0.34, (0.92, 1.10), _PACE, _NARROW),
        Role("pico-es-ES", 0.26, (0.72, 0.88), _PACE, (0.85, 0.94)),
        Role("pico-es-ES", 0.25, (1.04, 1.25), _PACE, (1.04, 1.14)),
        *_group("espeak-es espeak-es+f2", 0.15, _PACE, _NARROW),
    ),
    "fra": (*_three_of_pico("pico-fr-FR", 0.85), *_group("espeak-fr espeak-fr+f2", 0.15, _PACE, _NARROW)),
    "deu": (*_three_of_pico("pico-de-DE", 0.85), *_group("espeak-de espeak-de+f2", 0.15, _PACE, _NARROW)),
}
CASTS: Final[dict[str, dict[str, tuple[Role, ...]]]] = {
    "target": {
        "eng": (Role("pico-en-GB", 1.0),),
        "spa": (Role("pico-es-ES", 1.0),),
        "fra": (Role("pico-fr-FR", 1.0),),
        "deu": (Role("pico-de-DE", 1.0),),
    },
    "train1": _TRAIN1,
    "train2": {
        "eng": (
            Role("pico-en-GB", 0.18, (0.75, 1.25), _PACE, _WIDE),
            Role("pico-en-US", 0.18, (0.75, 1.25), _PACE, _WIDE),
            *_group("flite-slt flite-rms", 0.26, _PACE, _WIDE),
            *_group("flite-kal16", 0.08, _PACE, _WIDE),
            *_group("festival-slt-hts", 0.04, (1.0, 1.0), _WIDE),  # takes a fifth of the time it speaks
            *_group("hibari-heart", 0.16, _PACE, _WIDE),
            *_group("espeak-en-us+m3 espeak-en-gb espeak-en-gb-x-rp+f2", 0.06, _PACE, _WIDE),
            *_group("espeak-en-us+f4 espeak-en-gb-scotland+m7", 0.04, _PACE, _WIDE),
        ),
        "spa": (
            Role("pico-es-ES", 0.36, (0.85, 1.20), _PACE, (0.92, 1.10)),
            Role("pico-es-ES", 0.20, (0.68, 0.90), _PACE, (0.82, 0.94)),
            Role("pico-es-ES", 0.18, (1.00, 1.25), _PACE, (1.04, 1.18)),
            *_group("espeak-es espeak-es+f2 espeak-es+m3", 0.13, _PACE, _WIDE),
            *_group("espeak-es+f4 espeak-es-419+m7 espeak-es-419+f3", 0.105, _PACE, _WIDE),
            # Kokoro takes about as long as the speech lasts: 400 clips of 16000.
            *_group("kokoro-es-em_alex kokoro-es-ef_dora", 0.0125, (0.9, 1.1), _NARROW),
            *_group("kokoro-es-af_bella kokoro-es-bf_emma kokoro-es-bm_george", 0.0065, (0.9, 1.1), _NARROW),
            *_group("kokoro-es-if_sara kokoro-es-im_nicola kokoro-es-pf_dora", 0.006, (0.9, 1.1), _NARROW),
        ),
        "fra": (
            *_many_of_pico("pico-fr-FR", 0.76),
            *_group("espeak-fr espeak-fr+f2 espeak-fr-be+m3", 0.13, _PACE, _WIDE),
            *_group("espeak-fr-ch+f4 espeak-fr-be+f3 espeak-fr-ch+m7", 0.11, _PACE, _WIDE),
        ),
        "deu": (
            *_many_of_pico("pico-de-DE", 0.76),
            *_group("espeak-de espeak-de+f2 espeak-de+m3", 0.13, _PACE, _WIDE),
            *_group("espeak-de+f4 espeak-de+m7 espeak-de+f3", 0.11, _PACE, _WIDE),
        ),
    },
    # Natural voices, a hundred times slower than the rest: few clips, which training repeats.
    "train3": {
        "eng": _group(_named("kokoro-en-", KOKORO_ENGLISH), 1.0, _PACE, _NARROW),
        "spa": _group(_named("kokoro-es-", KOKORO_SPANISH), 1.0, _PACE, _NARROW),
        "fra": _group(_named("kokoro-fr-", KOKORO_FRENCH), 1.0, _PACE, _NARROW),
        "deu": _group(_named("kokoro-de-", KOKORO_GERMAN), 1.0, _PACE, _NARROW),
    },
    "seen": _TRAIN1,
    "unseen": {
        "eng": _group("festival-ked flite-awb kokoro-en-am_puck kokoro-en-af_sarah", 1.0),
        "spa": _group("kokoro-es-em_santa kokoro-es-am_michael", 1.0),
        "fra": _group("kokoro-fr-em_santa kokoro-fr-pm_santa", 1.0),
        "deu": _group("kokoro-de-em_santa kokoro-de-hf_beta", 1.0),
    },
}
CASTS["target_heldout"] = CASTS["target"]
# One natural voice in seven: they are a hundred times slower.
CASTS["answers"] = {
    language: (
        *CASTS["train2"][language],
        *(replace(role, weight=role.weight / 6) for role in CASTS["train3"][language]),
    )
    for language in LANGUAGES
}


def kokoro_folder(work: Path) -> Path:
    return work / "voices" / "kokoro"


def prepare(work: Path) -> None:
    """Tells the engines of this process where their files lie."""
    use_kokoro(kokoro_folder(work))


def main() -> None:
    parser = argparse.ArgumentParser(description="Fetch the voices that are not installed as packages.")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    work: Path = parser.parse_args().work
    if not has_kokoro(kokoro_folder(work), KOKORO_NAMES):
        fetch_kokoro(kokoro_folder(work))
    for voice in VOICES.values():
        print(f"{voice.language}  {voice.name:28} {voice.licence}")


if __name__ == "__main__":
    main()
