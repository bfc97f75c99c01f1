"""Language table: order, spellings, and errors that help."""

import pytest

from seamless_stream.errors import LanguageError
from seamless_stream.models.languages import (
    _ALIASES,
    LANGUAGES,
    SPEECH_CODES,
    bcp47,
    language_name,
    nearest_languages,
    resolve_language,
)

CODES = [row.code for row in LANGUAGES]


def test_order_is_that_of_the_tokenizer() -> None:
    """id = 256001 + index; the ids are published in the reference's integration tests."""
    assert len(CODES) == len(set(CODES)) == 98
    ids = {code: 256_001 + index for index, code in enumerate(CODES)}
    known = {"cmn_Hant": 256017, "eng": 256022, "fra": 256026, "rus": 256074, "swh": 256084}
    assert known.items() <= ids.items()


def test_tables_agree() -> None:
    assert len({row.tag for row in LANGUAGES}) == len({row.name for row in LANGUAGES}) == 98
    assert len(SPEECH_CODES) == 36
    assert set(SPEECH_CODES) <= set(CODES)
    assert set(_ALIASES) <= set(CODES)


def test_no_alias_hides_another_language() -> None:
    own = {spelling.casefold() for row in LANGUAGES for spelling in (row.code, row.tag, row.name)}
    aliases = [alias for text in _ALIASES.values() for alias in text.split()]
    assert len(aliases) == len(set(aliases))
    assert not own & set(aliases)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *((text, "spa") for text in ("spa", "es", "es-MX", "ES_419", "spanish", " SPANISH ", "Castilian")),
        *((text, "cmn") for text in ("zh", "zh-CN", "zh-Hans-CN", "Chinese", "mandarin chinese", "cmn")),
        *((text, "cmn_Hant") for text in ("zh-Hant", "zh-TW", "zh-Hant-HK", "cmn_Hant", "CMN-hant")),
        *((text, "por") for text in ("pt", "pt-BR", "pt_PT", "Portuguese")),
        *((text, "nob") for text in ("no", "nb-NO", "Norwegian Bokmål", "norwegian bokmal")),
        ("yue", "yue"),
        ("Cantonese", "yue"),
        ("ar", "arb"),
        ("ar-EG", "arz"),
        ("ar-SA", "arb"),
        ("fa-IR", "pes"),
        ("swahili", "swh"),
        ("fre", "fra"),
        ("sr-Latn-RS", "srp"),
        ("fil", "tgl"),
    ],
)
def test_spellings(text: str, code: str) -> None:
    assert resolve_language(text, CODES) == code


@pytest.mark.parametrize("row", LANGUAGES, ids=lambda row: row.code)
def test_every_form_of_every_language_means_it(row: object) -> None:
    assert isinstance(row, type(LANGUAGES[0]))
    for text in (row.code, row.code.upper(), row.tag, row.name, row.name.upper()):
        assert resolve_language(text, CODES) == row.code
    assert (language_name(row.code), bcp47(row.code)) == (row.name, row.tag)


@pytest.mark.parametrize(
    "text", ["", "  ", "-", "klingon", "espanish language", "xx", "xx-MX", "old english", "e"]
)
def test_unknown(text: str) -> None:
    with pytest.raises(LanguageError, match="no language known here"):
        resolve_language(text, CODES)


def test_error_names_the_nearest() -> None:
    with pytest.raises(LanguageError, match=r"`spanich` is .* the nearest are spa \(Spanish\)"):
        resolve_language("spanich", CODES)
    assert "jpn" in nearest_languages("japanes", CODES)


def test_language_that_the_checkpoint_lacks() -> None:
    with pytest.raises(LanguageError, match=r"`fr` means fra \(French\), .* it has eng \(English\), spa \("):
        resolve_language("fr", ["eng", "spa"])
    with pytest.raises(LanguageError, match=r"`yue` means yue"):
        resolve_language("yue", [code for code in CODES if code != "yue"])
    with pytest.raises(LanguageError):
        resolve_language("eng", [])


def test_code_that_only_the_checkpoint_has() -> None:
    assert resolve_language("ACE_latn", ["eng", "ace_Latn"]) == "ace_Latn"
    assert (language_name("ace_Latn"), bcp47("ace_Latn")) == ("ace_Latn", "und")
