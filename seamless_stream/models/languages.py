"""The languages of SeamlessM4T: ISO 639-3 codes, BCP 47 tags, English names, and how people write them.

Knows every text language of SeamlessM4T v2 in the order in which its tokenizer numbers them, and how to turn
`es`, `es-MX` or `Spanish` into `spa`. It does not know what a checkpoint can do: the allowed codes are an
argument.
"""

import difflib
import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from seamless_stream.errors import LanguageError

MAX_LISTED = 8  # languages that an error message names


@dataclass(frozen=True)
class Language:
    """One row of the table; `tag` is the shortest BCP 47 tag that means this language."""

    code: str
    tag: str
    name: str


# Order matters: SeamlessM4T v2 numbers its language tokens in this order.
# https://github.com/huggingface/transformers/blob/15ea02a/src/transformers/models/seamless_m4t_v2/convert_fairseq2_to_hf.py
_ROWS = """
afr af Afrikaans | amh am Amharic | arb ar Modern Standard Arabic | ary ary Moroccan Arabic
arz arz Egyptian Arabic | asm as Assamese | azj az North Azerbaijani | bel be Belarusian
ben bn Bengali | bos bs Bosnian | bul bg Bulgarian | cat ca Catalan
ceb ceb Cebuano | ces cs Czech | ckb ckb Central Kurdish | cmn zh Mandarin Chinese
cmn_Hant zh-Hant Traditional Mandarin Chinese | cym cy Welsh | dan da Danish | deu de German
ell el Greek | eng en English | est et Estonian | eus eu Basque
fin fi Finnish | fra fr French | fuv fuv Nigerian Fulfulde | gaz om West Central Oromo
gle ga Irish | glg gl Galician | guj gu Gujarati | heb he Hebrew
hin hi Hindi | hrv hr Croatian | hun hu Hungarian | hye hy Armenian
ibo ig Igbo | ind id Indonesian | isl is Icelandic | ita it Italian
jav jv Javanese | jpn ja Japanese | kan kn Kannada | kat ka Georgian
kaz kk Kazakh | khk mn Halh Mongolian | khm km Khmer | kir ky Kyrgyz
kor ko Korean | lao lo Lao | lit lt Lithuanian | lug lg Ganda
luo luo Luo | lvs lv Standard Latvian | mai mai Maithili | mal ml Malayalam
mar mr Marathi | mkd mk Macedonian | mlt mt Maltese | mni mni Meitei
mya my Burmese | nld nl Dutch | nno nn Norwegian Nynorsk | nob nb Norwegian Bokmål
npi ne Nepali | nya ny Nyanja | ory or Odia | pan pa Punjabi
pbt ps Southern Pashto | pes fa Western Persian | pol pl Polish | por pt Portuguese
ron ro Romanian | rus ru Russian | sat sat Santali | slk sk Slovak
slv sl Slovenian | sna sn Shona | snd sd Sindhi | som so Somali
spa es Spanish | srp sr Serbian | swe sv Swedish | swh sw Swahili
tam ta Tamil | tel te Telugu | tgk tg Tajik | tgl tl Tagalog
tha th Thai | tur tr Turkish | ukr uk Ukrainian | urd ur Urdu
uzn uz Northern Uzbek | vie vi Vietnamese | yor yo Yoruba | yue yue Cantonese
zlm ms Colloquial Malay | zul zu Zulu
"""

LANGUAGES: tuple[Language, ...] = tuple(
    Language(*cell.split(maxsplit=2)) for line in _ROWS.strip().splitlines() for cell in line.split(" | ")
)

# Names and codes that mean a row of the table but are written there otherwise: macrolanguages, bibliographic
# ISO 639-2 codes, withdrawn tags, regions that decide the variety, everyday names. Keys are as `_plain` gives
# them.
_ALIASES = {
    "arb": "ara arabic standard-arabic",
    "ary": "ar-ma darija",
    "arz": "ar-eg",
    "azj": "aze azerbaijani",
    "ben": "bangla",
    "cat": "valencian",
    "ces": "cze",
    "ckb": "ku kur kurdish sorani",
    "cmn": "zho chi chinese mandarin zh-hans zh-cn zh-sg cmn-hans simplified-chinese",
    "cmn_Hant": "zh-tw zh-hk zh-mo traditional-chinese",
    "cym": "wel",
    "deu": "ger",
    "ell": "gre modern-greek",
    "eus": "baq",
    "fra": "fre",
    "fuv": "ff ful fulah fulfulde",
    "gaz": "orm oromo",
    "heb": "iw",
    "hye": "arm",
    "ind": "in",
    "isl": "ice",
    "kat": "geo",
    "khk": "mon mongolian",
    "kir": "kirghiz",
    "lug": "luganda",
    "lvs": "lav latvian",
    "mkd": "mac",
    "mni": "manipuri",
    "mya": "bur myanmar",
    "nld": "dut flemish",
    "nob": "no nor norwegian bokmal",
    "nno": "nynorsk",
    "npi": "nep",
    "nya": "chichewa chewa",
    "ory": "ori oriya",
    "pan": "panjabi",
    "pbt": "pus pashto",
    "pes": "fas per persian farsi",
    "ron": "rum mo moldovan",
    "slk": "slo",
    "spa": "castilian",
    "swh": "swa kiswahili",
    "tgl": "fil filipino",
    "uzn": "uzb uzbek",
    "yue": "zh-yue",
    "zlm": "msa may malay",
}

# Languages with a voice in SeamlessM4T v2; kan and tam have units but no voice.
SPEECH_CODES: tuple[str, ...] = tuple(
    "arb ben cat ces cmn cym dan deu eng est fin fra hin ind ita jpn kor mlt nld pes pol por ron rus slk "
    "spa swe swh tel tgl tha tur ukr urd uzn vie".split()
)

_BY_CODE = {row.code: row for row in LANGUAGES}


def _plain(text: str) -> str:
    """Lower case, no accents, words joined by `-`: the form in which spellings are compared."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(char for char in decomposed if not unicodedata.combining(char))
    return re.sub(r"[^\w]+|_+", "-", kept).strip("-")


def _spellings() -> dict[str, str]:
    found = {}
    for row in LANGUAGES:
        for spelling in (row.code, row.tag, row.name):
            found[_plain(spelling)] = row.code
    for code, aliases in _ALIASES.items():
        found.update(dict.fromkeys(aliases.split(), code))
    return found


_SPELLINGS = _spellings()


def language_name(code: str) -> str:
    """English name of a code; a code outside the table is its own name."""
    return _BY_CODE[code].name if code in _BY_CODE else code


def bcp47(code: str) -> str:
    """BCP 47 tag of a code, as HTML `lang` wants it; `und` for a code outside the table."""
    return _BY_CODE[code].tag if code in _BY_CODE else "und"


def _lookup(text: str, allowed: Collection[str]) -> str | None:
    """The code that `text` means, whether allowed or not."""
    plain = _plain(text)
    for code in allowed:  # a checkpoint may have codes that the table lacks
        if _plain(code) == plain:
            return code
    if plain in _SPELLINGS:
        return _SPELLINGS[plain]
    subtags = plain.split("-")
    if len(subtags[0]) > 3:  # a name in several words, not a tag: `old english` is not `old`
        return None
    for length in range(len(subtags) - 1, 0, -1):  # zh-hant-tw -> zh-hant -> zh
        prefix = "-".join(subtags[:length])
        if prefix in _SPELLINGS:
            return _SPELLINGS[prefix]
    return None


def _listed(codes: Sequence[str]) -> str:
    return ", ".join(f"{code} ({language_name(code)})" for code in codes)


def nearest_languages(text: str, allowed: Collection[str]) -> list[str]:
    """Up to `MAX_LISTED` allowed codes, the nearest spelling first; all of them where they are so few."""
    codes = sorted(allowed)
    spellings = {spelling: code for spelling, code in _SPELLINGS.items() if code in codes}
    spellings.update({_plain(code): code for code in codes})
    matches = difflib.get_close_matches(_plain(text), spellings, n=MAX_LISTED, cutoff=0.6)
    near = list(dict.fromkeys(spellings[match] for match in matches))
    return near + [code for code in codes if code not in near] if len(codes) <= MAX_LISTED else near


def resolve_language(text: str, allowed: Collection[str]) -> str:
    """The allowed code that `text` means: a code, a BCP 47 tag or an English name, in any case.

    Raises:
        LanguageError: no such language, or not an allowed one; names the nearest allowed ones.
    """
    code = _lookup(text, allowed)
    if code is not None and code in allowed:
        return code
    near = nearest_languages(text if code is None else language_name(code), allowed)
    hint = f"the nearest are {_listed(near)}" if near else "see `seamless-stream languages`"
    if code is None:
        raise LanguageError(f"`{text}` is no language known here; {hint}.")
    if 0 < len(allowed) <= MAX_LISTED:
        hint = f"it has {_listed(near)}"
    raise LanguageError(
        f"`{text}` means {code} ({language_name(code)}), which this checkpoint lacks; {hint}."
    )
