"""The main job on real speech: four shipped recordings go through `seamless-stream live`, as a microphone would.

    python tools/demo.py [--pace fast]

Captions appear while the recordings "speak"; translated speech and subtitles are written into out/.
"""

import argparse
import sys
from pathlib import Path

from seamless_stream.cli import main as seamless_stream

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "seamless_stream" / "checkpoints" / "samples"
RECORDINGS = (("english", "spanish"), ("spanish", "german"), ("german", "french"), ("french", "english"))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "out")
    parser.add_argument("--pace", choices=("real-time", "fast"), default="real-time")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for source, target in RECORDINGS:
        stem = options.output / f"{source}-to-{target}"
        arguments = ["live", "--model", "phrasebook", "--source", str(SAMPLES / f"{source}.flac")]
        arguments += ["--from", source, "--to", target, "--pace", options.pace]
        arguments += ["--sink", f"{stem}.wav", "--sink", f"{stem}.srt"]
        print(f"\n$ seamless-stream {' '.join(arguments)}", flush=True)
        status = seamless_stream(arguments)
        if status:
            return status
    print(f"\nTranslated speech and subtitles are in {options.output}/:")
    for path in sorted(options.output.glob("*-to-*.*")):
        print(f"  {path.name:28} {-(-path.stat().st_size // 1024):7} kB")
    print(
        "\nThis was the bundled phrasebook, which knows travel phrases and nothing else.\n"
        "It still mishears some sentences: compare with the texts in\n"
        f"{SAMPLES.relative_to(ROOT)}/*.txt; the measured error rates are in its model card.\n"
        "For open speech in 100 languages (9 GB, CC-BY-NC 4.0, not for commercial use):\n"
        "  .venv/bin/seamless-stream models pull v2-large\n"
        "  .venv/bin/seamless-stream live --source YOUR.wav --to french --sink out/french.wav"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
