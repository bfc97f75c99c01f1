"""What `--help` says: of the program, and of each command that needs more than a line. Knows no options."""

ABOUT = (
    "Speech translation with SeamlessM4T: recordings, text and live speech; everything runs on this machine."
)

EXAMPLES = """\
examples:
  seamless-stream live --source mic --to spanish                     captions while you speak
  seamless-stream live --source mic --to es --sink speaker           and the translation aloud
  seamless-stream live --source talk.wav --to es --sink es.wav --sink es.srt
  arecord -f S16_LE -r 16000 -t raw | seamless-stream live --source - --to eng
  seamless-stream serve                                              the same for other programs, by WebSocket
  seamless-stream connect ws://HOST:8765 --to es --source mic        captions from a server of these
  seamless-stream conformance ws://HOST:8765                         does a server keep the protocol's promises
  seamless-stream translate interview.mp3 --to de                    the text on the terminal
  seamless-stream translate *.wav --to fr --output out/              texts and spoken translations
  seamless-stream translate talk.mp3 --task asr --from en --format srt
  seamless-stream translate "Where is the station?" --from en --to es
  seamless-stream models                                             which checkpoints there are
  seamless-stream devices                                            microphones and loudspeakers
  seamless-stream doctor                                             what works here

exit status:
  0 all is well   1 a check failed   2 wrong usage   3 audio   4 settings   5 language   6 checkpoint   7 model failed
  8 no speech   9 the server is full   10 no server there, or it refuses   70 a fault of this program   130 interrupted
  141 nobody reads the output any more
  With several inputs, the status is that of the first one that failed, first of all one that cannot be read; the others
  are still done.
"""

TRANSLATE = """\
Translates recordings (wav, flac, mp3, ogg, opus, m4a, mp4, webm; any rate, mono or stereo) or text.
Long recordings are cut where the speaker pauses. Without --output the result is printed.
"""
TRANSLATE_EXAMPLES = """\
examples:
  seamless-stream translate a.wav b.mp3 --to spanish
  seamless-stream translate a.wav --to es --output out/      out/a.spa.txt and, spoken, out/a.spa.wav
  seamless-stream translate a.wav --to es --format srt       subtitles
  seamless-stream translate a.wav --to es --format json      text, token ids, units, times
  seamless-stream translate a.wav --task asr --from en       what was said, in its own language
  seamless-stream translate notes.txt --from en --to es      a text file, line by line
  seamless-stream translate "Good morning." --from en --to es

tasks (chosen by input and output unless --task names one):
  s2st speech to speech   s2tt speech to text   asr speech to its own text
  t2st text to speech     t2tt text to text
"""
LIVE = """\
Translates while the source speaks. Captions appear in the terminal; every --sink gets them, or the speech, as well.

sources: mic, mic:NAME or mic:NUMBER (see `seamless-stream devices`); loopback, what this machine plays;
         a recording, which plays at its own pace unless --pace fast; `-`, raw s16le 16 kHz mono or WAV from stdin
sinks:   speaker, speaker:NAME or speaker:NUMBER; OUT.wav, speech where it was said; `-`, speech as raw s16le 16 kHz
         mono to stdout (captions then go to stderr); OUT.srt, OUT.vtt, captions; OUT.jsonl, every event
"""
LIVE_EXAMPLES = """\
examples:
  seamless-stream live --source mic --to spanish --sink speaker
  seamless-stream live --source mic:usb --to es --latency low --sink meeting.vtt
  seamless-stream live --source loopback --to en                   captions for what the machine plays
  seamless-stream live --source talk.wav --to es --sink es.wav --sink es.vtt
  seamless-stream live --source talk.wav --to es --pace fast --sink events.jsonl
  ffmpeg -i talk.mp4 -f s16le -ar 16000 -ac 1 - | seamless-stream live --source - --to es
  seamless-stream live --source talk.wav --config configs/live_captions.yaml --set session.decoding.beams=5
"""
SERVE = """\
Translates for other programs over WebSocket, at ws://HOST:PORT/v1/realtime/translations. The messages are told in
docs/protocol.md; clients of OpenAI's realtime translations work with it as they are. SIGTERM or Ctrl-C lets the open
sessions finish; a second one ends at once.
"""
SERVE_EXAMPLES = """\
examples:
  seamless-stream serve                                            for programs on this machine
  seamless-stream serve --to es --port 9000                        es where a client names no language
  seamless-stream serve --host 0.0.0.0 --keys-file keys.txt        for others, who need one of these keys
  seamless-stream serve --record out/sessions                      to look later at what happened: see `replay`
  seamless-stream serve --config configs/server.yaml
"""
CONNECT = """\
Translates as `live` does, but `seamless-stream serve` does the work, here or elsewhere: no model is loaded. Captions
appear in the terminal; every --sink gets them, or the speech, as well. Where the connection breaks, another one goes
on with the session.

url:     ws://HOST:PORT, wss://HOST:PORT with TLS; the path may be left out
sources: mic, mic:NAME or mic:NUMBER (see `seamless-stream devices`); loopback, what this machine plays;
         a recording, which plays at its own pace unless --pace fast; `-`, raw s16le 16 kHz mono or WAV from stdin
sinks:   speaker, speaker:NAME or speaker:NUMBER; OUT.wav; `-`, speech as raw s16le 16 kHz mono to stdout (captions then
         go to stderr); OUT.srt, OUT.vtt, captions; OUT.jsonl, every event
"""
CONNECT_EXAMPLES = """\
examples:
  seamless-stream serve                                            on the machine that translates
  seamless-stream connect ws://127.0.0.1:8765 --to es --source mic
  seamless-stream connect wss://HOST:8765 --to es --source mic --sink speaker     SEAMLESS_STREAM_KEY holds the key
  seamless-stream connect ws://HOST:8765 --to es --to fr --source talk.wav --sink talk.vtt   talk.es.vtt, talk.fr.vtt
  seamless-stream connect ws://HOST:8765 --to es --source talk.wav --pace fast --sink es.srt
"""
REPLAY = """\
Runs recorded sessions of `serve --record` again and compares the texts. Status 0: all are what they were; 1: some are
not, and both texts are shown. A session that fell behind had left things out; a replay has time and leaves out nothing.
"""
REPLAY_EXAMPLES = """\
examples:
  seamless-stream replay out/sessions                     all that are there
  seamless-stream replay out/sessions/20260101T120000Z-*  some of them
  seamless-stream replay out/sessions --model v2-large    what would another model have said?
"""
CONFORMANCE = """\
Holds a server to what docs/protocol.md promises: every promise is a check, which passes, fails, or is skipped where
this server cannot be asked. Status 0: none has failed; 1: some have, and the table tells why. It works with any server
that speaks the subprotocol seamless-stream.v1, and is a client like others: the server must have room for two sessions.
"""
CONFORMANCE_EXAMPLES = """\
examples:
  seamless-stream conformance ws://127.0.0.1:8765
  seamless-stream conformance wss://HOST:8765 --to fr --key KEY
  seamless-stream conformance ws://HOST:8765 --source talk.wav    another recording than the bundled English one
"""
MODELS_EXAMPLES = """\
examples:
  seamless-stream models                     list
  seamless-stream models pull v2-large       download into the hub cache; interrupted pulls resume
  seamless-stream models path phrasebook     where the files are
  seamless-stream models verify phrasebook   are they whole
"""
EVALUATE = """\
Translates a list of recordings with references and scores it: quality, latency in source time and with computing,
erasure, and the files that SimulEval, OmniSTEval and simulstream read. Lists and figures: docs/evaluation.md.
"""
EVALUATE_EXAMPLES = """\
examples:
  seamless-stream evaluate --data clips.tsv --to es
  seamless-stream evaluate --data talks.yaml --to es --policy alignatt local-agreement --sweep
  seamless-stream evaluate --data talks.yaml --to es --policy alignatt --sweep session.policy.alignatt_frames=2,4
  seamless-stream evaluate --data talks.yaml --to es --pace real-time --output out/paced
  seamless-stream evaluate --data talks.yaml --to es --limit 1 --trace trace.html   why every token waited
  seamless-stream evaluate --compare out/evaluation out/paced     runs of before, in one table and plot
  seamless-stream evaluate --simuleval-port 12321 --to es         then: simuleval --remote-eval ...
"""
