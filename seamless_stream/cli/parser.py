"""The commands, their options and the help that teaches them. Imports neither torch nor the engine."""

import argparse
import difflib
from collections.abc import Sequence
from typing import NoReturn, get_args

from seamless_stream import __version__
from seamless_stream.cli import texts
from seamless_stream.settings import Latency, PolicyName

# command -> the module of this folder that runs it
MODULES = {
    "translate": "translate",
    "live": "live",
    "serve": "serve",
    "connect": "connect",
    "conformance": "conformance",
    "replay": "replay",
    "models": "inventory",
    "languages": "inventory",
    "devices": "devices",
    "evaluate": "evaluate",
    "doctor": "doctor",
}

LATENCY_METRICS = ["laal", "yaal", "stream_laal", "al", "dal", "atd", "end_offset"]


class Parser(argparse.ArgumentParser):
    """argparse that names the nearest command or option after a typing error."""

    def error(self, message: str) -> NoReturn:
        """One line, the nearest spelling, status 2."""
        wrong = _wrong_word(message)
        known = [
            word for word in self._known_words() if wrong and word.startswith("-") == wrong.startswith("-")
        ]
        near = difflib.get_close_matches(wrong, known, n=1) if wrong else []
        hint = f" Did you mean `{near[0]}`?" if near else ""
        self.exit(2, f"{self.prog}: {message}.{hint} See `{self.prog} --help`.\n")

    def _known_words(self) -> list[str]:
        words: list[str] = []
        for action in self._actions:
            words += [*action.option_strings, *map(str, action.choices or ())]
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    words += parser._known_words()
        return words


def _wrong_word(message: str) -> str | None:
    """What argparse did not like: `invalid choice: 'x' (...)` or `unrecognized arguments: --x ...`."""
    if "invalid choice: " in message:
        return message.split("invalid choice: ")[1].split(" (")[0].strip("'")
    if "unrecognized arguments: " in message:
        return message.split("unrecognized arguments: ")[1].partition(" ")[0]
    return None


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; leaves by SystemExit on `--help` (0) and wrong usage (2)."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        parser.exit(2)
    arguments.module = MODULES[arguments.command]
    return arguments


def build_parser() -> Parser:
    """All commands."""
    parser = Parser(
        "seamless-stream", description=texts.ABOUT, epilog=texts.EXAMPLES, formatter_class=_form()
    )
    parser.add_argument("--version", action="version", version=f"seamless-stream {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    _add_translate(
        _command(
            commands, "translate", "translate recordings or text", texts.TRANSLATE, texts.TRANSLATE_EXAMPLES
        )
    )
    _add_live(
        _command(commands, "live", "translate while the source speaks", texts.LIVE, texts.LIVE_EXAMPLES)
    )
    _add_serve(_command(commands, "serve", "translate for other programs", texts.SERVE, texts.SERVE_EXAMPLES))
    _add_connect(
        _command(commands, "connect", "translate with a server", texts.CONNECT, texts.CONNECT_EXAMPLES)
    )
    _add_conformance(
        _command(
            commands,
            "conformance",
            "does a server keep its promises",
            texts.CONFORMANCE,
            texts.CONFORMANCE_EXAMPLES,
        )
    )
    _add_replay(
        _command(commands, "replay", "run recorded sessions again", texts.REPLAY, texts.REPLAY_EXAMPLES)
    )
    models = _command(commands, "models", "list, pull and check checkpoints", "", texts.MODELS_EXAMPLES)
    models.add_argument("action", nargs="?", default="list", choices=["list", "pull", "path", "verify"])
    models.add_argument(
        "name", nargs="?", metavar="MODEL", help="a name of the list, a directory or a hub id"
    )
    models.add_argument("--revision", help="commit, tag or branch on the hub")
    languages = _command(commands, "languages", "which languages a checkpoint knows", "", "")
    languages.add_argument("--model", default="auto", help="default: auto")
    languages.add_argument(
        "search", nargs="?", metavar="WORD", help="only languages whose code or name has it"
    )
    devices = _command(commands, "devices", "microphones, loudspeakers and loopbacks for `live`", "", "")
    devices.add_argument("--json", action="store_true", help="as JSON, for programs")
    _add_evaluate(
        _command(
            commands,
            "evaluate",
            "score recordings that have references",
            texts.EVALUATE,
            texts.EVALUATE_EXAMPLES,
        )
    )
    _command(commands, "doctor", "what works here, and the command that fixes what does not", "", "")
    return parser


def _form() -> type[argparse.HelpFormatter]:
    return argparse.RawDescriptionHelpFormatter


def _command(
    commands: "argparse._SubParsersAction[Parser]", name: str, short: str, text: str, examples: str
) -> Parser:
    parser = commands.add_parser(
        name,
        help=short,
        description=text or short.capitalize() + ".",
        epilog=examples,
        formatter_class=_form(),
    )
    parser.add_argument("--verbose", action="store_true", help="log what happens, with tracebacks")
    parser.add_argument(
        "--quiet", action="store_true", help="no progress and no notes, only results and errors"
    )
    return parser


def _add_translate(parser: Parser) -> None:
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="recordings, .txt files, or text with --text"
    )
    parser.add_argument(
        "--text",
        action="store_true",
        help="every INPUT is text (one word is else taken for a file); `-` reads it from stdin",
    )
    parser.add_argument("--task", choices=["s2st", "s2tt", "asr", "t2st", "t2tt"], help="default: see below")
    parser.add_argument(
        "--format", choices=["text", "json", "srt", "vtt"], default="text", help="default: text"
    )
    parser.add_argument("--output", metavar="DIR", help="write files there, also the spoken translation")
    _add_languages(parser)
    _add_model(parser)
    _add_decoding(parser)


def _add_ends(parser: Parser) -> None:
    parser.add_argument(
        "--source", required=True, metavar="mic|loopback|FILE|-", help="what speaks, see above"
    )
    parser.add_argument(
        "--sink",
        action="append",
        default=[],
        metavar="speaker|FILE|-",
        help="where the translation goes besides the terminal, see above; may be repeated",
    )


def _add_live(parser: Parser) -> None:
    _add_ends(parser)
    parser.add_argument(
        "--task", choices=["s2st", "s2tt", "asr"], help="default: s2st with a sink for speech, else s2tt"
    )
    parser.add_argument("--pace", choices=["real-time", "fast"], help="of a file; default: real-time")
    parser.add_argument(
        "--policy", choices=get_args(PolicyName), help="when text is committed; default: alignatt"
    )
    parser.add_argument(
        "--latency",
        choices=get_args(Latency),
        default="balanced",
        help="a set of settings: early words, or better sentences; default: balanced",
    )
    _add_languages(parser)
    _add_model(parser)
    _add_decoding(parser)


def _add_serve(parser: Parser) -> None:
    parser.add_argument("--host", metavar="ADDRESS", help="where to listen; default: 127.0.0.1")
    parser.add_argument("--port", type=int, metavar="N", help="default: 8765; 0: any free one")
    parser.add_argument("--keys-file", metavar="FILE", help="API keys, one a line")
    parser.add_argument(
        "--record",
        metavar="DIR",
        help="store every session there, audio and text; default: nothing is stored",
    )
    parser.add_argument("--task", choices=["s2st", "s2tt"], help="default: s2st where a language has a voice")
    parser.add_argument(
        "--policy", choices=get_args(PolicyName), help="when text is committed; default: alignatt"
    )
    _add_languages(parser)
    _add_model(parser)
    _add_decoding(parser)


def _add_connect(parser: Parser) -> None:
    parser.add_argument("url", metavar="URL", help="of the server, see above")
    _add_ends(parser)
    parser.add_argument(
        "--to", action="append", required=True, metavar="LANG", help="a language; repeated: several at once"
    )
    parser.add_argument(
        "--from",
        dest="source_language",
        action="append",
        metavar="LANG",
        help="what is spoken, else not said; repeated: one of these, found by the server",
    )
    parser.add_argument("--transcribe", action="store_true", help="write down what is said too; needs --from")
    parser.add_argument("--key", metavar="KEY", help="default: the environment's SEAMLESS_STREAM_KEY")
    parser.add_argument(
        "--pace",
        choices=["real-time", "fast"],
        default="real-time",
        help="of a file; default: real-time",
    )
    parser.add_argument(
        "--latency", choices=get_args(Latency), help="early words, or better sentences; default: the server's"
    )


def _add_conformance(parser: Parser) -> None:
    parser.add_argument("url", metavar="URL", help="of the server: ws://HOST:PORT")
    parser.add_argument("--to", default="es", metavar="LANG", help="a language with a voice; default: es")
    parser.add_argument("--source", metavar="FILE", help="speech with pauses; default: bundled English")
    parser.add_argument("--key", metavar="KEY", help="default: the environment's SEAMLESS_STREAM_KEY")
    parser.add_argument(
        "--patience", type=float, default=60.0, metavar="S", help="for an answer; default: 60"
    )


def _add_replay(parser: Parser) -> None:
    parser.add_argument("folders", nargs="+", metavar="DIR", help="a recording, or a folder of them")
    parser.add_argument("--model", metavar="NAME|DIR|HUB_ID", help="default: the one of the recording")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps; default: the best here")


def _add_evaluate(parser: Parser) -> None:
    parser.add_argument("--data", metavar="LIST", help="recordings and references: .tsv, .jsonl or .yaml")
    parser.add_argument(
        "--references", metavar="FILE", help="a reference per row of the list, if it has none"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N recordings")
    parser.add_argument(
        "--policy", nargs="+", choices=get_args(PolicyName), help="one run, or curve, of each"
    )
    parser.add_argument(
        "--sweep",
        nargs="?",
        const="",
        metavar="KEY=V,V",
        help="a run for every value; default: the policy's own",
    )
    parser.add_argument("--pace", choices=["real-time", "fast"], help="default: that of --config, or fast")
    parser.add_argument(
        "--chunk-ms", type=int, default=100, metavar="N", help="source per push; default: 100"
    )
    parser.add_argument(
        "--timer",
        choices=["wall", "cpu"],
        default="wall",
        help="of computing; cpu: where the machine is shared",
    )
    parser.add_argument("--speech", action="store_true", help="the spoken translation too")
    parser.add_argument(
        "--recogniser", metavar="MODEL", help="scores speech: a Whisper directory or a checkpoint"
    )
    parser.add_argument("--output", default="out/evaluation", metavar="DIR", help="default: out/evaluation")
    parser.add_argument(
        "--trace", metavar="FILE.html", help="a page that explains for every token why it waited"
    )
    parser.add_argument("--rescore", action="store_true", help="no run: score the logs in --output again")
    parser.add_argument(
        "--compare", nargs="+", default=[], metavar="DIR", help="earlier outputs to show along"
    )
    parser.add_argument(
        "--latency-metric",
        choices=LATENCY_METRICS,
        help="of the plot; default: laal, yaal of long recordings",
    )
    parser.add_argument("--quality-metric", choices=["bleu", "chrf"], default="bleu", help="of the plot")
    parser.add_argument(
        "--simuleval-port", type=int, metavar="N", help="answer SimulEval instead, until Ctrl-C"
    )
    _add_languages(parser)
    _add_model(parser)
    _add_decoding(parser)


def _add_languages(parser: Parser) -> None:
    group = parser.add_argument_group("languages", "codes (spa), tags (es, es-MX) or names (spanish)")
    group.add_argument("--to", metavar="LANG", help="the language to translate into")
    group.add_argument("--from", dest="source_language", metavar="LANG", help="needed for text and asr only")


def _add_model(parser: Parser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model", metavar="NAME|DIR|HUB_ID", help="default: auto (see `seamless-stream models`)"
    )
    group.add_argument("--device", help="cpu, cuda, cuda:1, mps; default: the best here")
    group.add_argument("--dtype", choices=["float32", "float16", "bfloat16", "float64"])
    group.add_argument("--offline", action="store_true", default=None, help="never ask the hub")
    group.add_argument("--config", metavar="FILE", help="settings as YAML, see configs/; options win over it")
    group.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any setting, as in the YAML"
    )


def _add_decoding(parser: Parser) -> None:
    group = parser.add_argument_group("decoding and voice")
    group.add_argument("--speaker", type=int, metavar="N", help="voice of the spoken translation; default: 0")
    group.add_argument("--vad", choices=["silero", "webrtc"], help="what finds the speech; default: silero")
    group.add_argument("--beams", type=int, metavar="N", help="default: 1, greedy")
    group.add_argument("--length-penalty", type=float, metavar="X", help="with beams; default: 1")
    group.add_argument(
        "--sample", action="store_true", default=None, help="draw tokens instead of the best ones"
    )
    group.add_argument("--temperature", type=float, metavar="X")
    group.add_argument("--top-k", type=int, metavar="N")
    group.add_argument("--top-p", type=float, metavar="X")
    group.add_argument("--seed", type=int, metavar="N")
    group.add_argument("--max-new-tokens", type=int, metavar="N", help="per segment; default: 256")
    group.add_argument(
        "--no-repeat-ngram", type=int, metavar="N", help="no N tokens in a row twice; default: off"
    )
