"""Whether this machine has all that the phrasebook's training calls for: programs, voices, recordings, packages.

    python -m tools.phrasebook.needs --work DIR

Names all that is missing at once, before hours of work have gone by; fetches the listener of the evaluation (Whisper
base) if it is not there yet. Knows which package brings what; nothing of how it is used.
"""

import argparse
import importlib.util
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tools.phrasebook.corpus import DEFAULT_WORK
from tools.phrasebook.engines import has_kokoro
from tools.phrasebook.human import missing_packages
from tools.phrasebook.judge import assemble
from tools.phrasebook.recipe import LANGUAGES
from tools.phrasebook.voices import KOKORO_NAMES, kokoro_folder

# What is looked for -> Debian's package.
PROGRAMS: Final = {"flite": "flite", "festival": "festival", "espeak-ng": "espeak-ng"}
FESTIVAL_VOICES: Final = {"ked_diphone": "festvox-kdlpc16k", "cmu_us_slt_arctic_hts": "festvox-us-slt-hts"}
FESTIVAL_FOLDER: Final = Path("/usr/share/festival/voices")
MODULES: Final = "av faster_whisper hibari jiwer matplotlib onnxruntime py_nanotts sacrebleu scipy".split()


def _absent(wanted: Iterable[str], is_there: Callable[[str], object]) -> list[str]:
    return [name for name in wanted if not is_there(name)]


def missing_debian(work: Path) -> list[str]:
    """Debian's packages that are to be installed."""
    found = [PROGRAMS[name] for name in _absent(PROGRAMS, shutil.which)]
    voices = _absent(FESTIVAL_VOICES, lambda name: list(FESTIVAL_FOLDER.glob(f"*/{name}")))
    found += [FESTIVAL_VOICES[name] for name in voices]
    if not shutil.which("npm") and not has_kokoro(kokoro_folder(work), KOKORO_NAMES):
        found.append("npm")
    return found + missing_packages(LANGUAGES)


def missing_modules() -> list[str]:
    """Python modules of the `phrasebook` extra that cannot be imported."""
    return _absent(MODULES, importlib.util.find_spec)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK)
    work: Path = parser.parse_args().work
    problems = []
    if packages := missing_debian(work):
        problems.append(f"Programs, voices or recordings are missing: apt-get install {' '.join(packages)}")
    if modules := missing_modules():
        names = ", ".join(modules)
        problems.append(f"Python packages are missing ({names}): pip install -e '.[phrasebook]'")
    if problems:
        raise SystemExit("\n".join(problems))
    assemble()
    print("All that the training needs is there.")


if __name__ == "__main__":
    main()
