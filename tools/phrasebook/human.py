"""Single words that people read: what Debian's packages asterisk-core-sounds-{en,es,fr}-g722 ship, and what they say.

Numbers, days and months, one professional speaker a language; for German there is no such package. Only for evaluation:
the recordings are CC-BY-SA and neither trained on nor bundled.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

ROOT: Final = Path("/usr/share/asterisk/sounds")
FOLDERS: Final = {"eng": "en_US_f_Allison", "spa": "es_MX_f_Allison", "fra": "fr_CA_f_June"}
PACKAGES: Final = {
    code: f"asterisk-core-sounds-{short}-g722"
    for code, short in zip(FOLDERS, ("en", "es", "fr"), strict=True)
}

# 0 to 20, then 30 to 90, then days from Sunday, then months.
_LISTED: Final = {
    "eng": (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty",
        "thirty forty fifty sixty seventy eighty ninety",
        "Sunday Monday Tuesday Wednesday Thursday Friday Saturday",
        "January February March April May June July August September October November December",
    ),
    "spa": (
        "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis "
        "diecisiete dieciocho diecinueve veinte",
        "treinta cuarenta cincuenta sesenta setenta ochenta noventa",
        "domingo lunes martes miércoles jueves viernes sábado",
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    ),
    "fra": (
        "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize "
        "dix-sept dix-huit dix-neuf vingt",
        "trente quarante cinquante soixante soixante-dix quatre-vingts quatre-vingt-dix",
        "dimanche lundi mardi mercredi jeudi vendredi samedi",
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    ),
}
_SINGLE: Final = {
    "eng": {"today": "today", "tomorrow": "tomorrow", "hundred": "hundred", "oclock": "o'clock"},
    "spa": {"today": "hoy", "tomorrow": "mañana"},
    "fra": {"today": "aujourd'hui", "tomorrow": "demain", "yesterday": "hier", "hundred": "cent"},
}


def words(language: str) -> dict[str, str]:
    """File name without ending -> what is said in it."""
    ones, tens, days, months = (part.split() for part in _LISTED[language])
    named = {str(i): word for i, word in enumerate(ones)}
    named |= {str(10 * i): word for i, word in enumerate(tens, 3)}
    named |= {f"day-{i}": word for i, word in enumerate(days)}
    named |= {f"mon-{i}": word for i, word in enumerate(months)}
    return named | _SINGLE[language]


def folder_of(language: str) -> Path:
    """Where its package puts them."""
    return ROOT / FOLDERS[language] / "digits"


def missing_packages(languages: Sequence[str]) -> list[str]:
    """Of the languages that have one, those that are not installed."""
    return [PACKAGES[code] for code in languages if code in FOLDERS and not folder_of(code).exists()]


def spoken_words(language: str, limit: int) -> Iterator[tuple[Float32, str]]:
    """Samples at 16 kHz and the word, of the first `limit` words that have a file."""
    import av

    for name, word in list(words(language).items())[:limit]:
        path = folder_of(language) / f"{name}.g722"
        if path.exists():
            with av.open(str(path), format="g722") as container:
                frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
            yield np.concatenate(frames, axis=1)[0].astype(np.float32) / 32768, word
