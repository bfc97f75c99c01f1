"""Settings: defaults are possible, files are strict, every problem is told at once."""

from pathlib import Path

import pytest

from seamless_stream.errors import SettingsError
from seamless_stream.settings import DecodingSettings, SegmenterSettings, Settings, load_settings

CONFIGS = Path(__file__).parent.parent / "configs"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_no_file_gives_the_defaults() -> None:
    assert load_settings() == Settings()


def test_file_and_overrides_meet_and_the_override_wins(tmp_path: Path) -> None:
    path = write(
        tmp_path, "session:\n  target_languages: [es, fr]\n  decoding:\n    beams: 4\n    length_penalty: 2\n"
    )
    settings = load_settings(path, {"session.decoding.beams": 2, "pace": "fast"})
    assert settings.session.target_languages == ("es", "fr")
    assert settings.session.decoding == DecodingSettings(beams=2, length_penalty=2.0)
    assert settings.pace == "fast"


def test_single_language_needs_no_list(tmp_path: Path) -> None:
    path = write(tmp_path, "session:\n  target_languages: es\n")
    assert load_settings(path).session.target_languages == ("es",)


def test_all_problems_are_listed_with_their_paths(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "pase: fast\nsession:\n  policy:\n    name: waitk\n  speaker: one\n  decoding:\n    beams: 0\n    sample: 1\n"
        "  segmentation:\n    hard_max_ms: true\n",
    )
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert str(caught.value).splitlines() == [
        f"{path}: `pase` is no setting; did you mean `pace`?",
        f"{path}: `session.speaker` must be an integer, but is 'one'.",
        f"{path}: `session.policy.name` must be one of segment, wait-k, hold-n, local-agreement, alignatt,"
        " but is 'waitk'.",
        f"{path}: `session.decoding.sample` must be true or false, but is 1.",
        f"{path}: `session.segmentation.hard_max_ms` must be an integer, but is True.",
    ]


def test_impossible_values_carry_their_path() -> None:
    with pytest.raises(SettingsError, match=r"^`session\.decoding\.beams` must be at least 1, but is 0\.$"):
        load_settings(None, {"session.decoding.beams": 0})


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", "just words"])
def test_file_without_keys_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="the settings file"):
        load_settings(write(tmp_path, text))


def test_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        load_settings(tmp_path / "none.yaml")


def test_soft_maximum_must_lie_below_the_hard_one() -> None:
    with pytest.raises(
        SettingsError, match="`soft_max_ms` must be below `hard_max_ms` = 14000, but is 14000"
    ):
        SegmenterSettings(soft_max_ms=14_000)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_files_load(path: Path) -> None:
    assert load_settings(path) != Settings()
