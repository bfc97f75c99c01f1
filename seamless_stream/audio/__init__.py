"""Audio in numpy: decoding, resampling, fbank features, voice activity and segments.

Every streaming class here is `push(samples) -> out` and `flush() -> out`;
samples are float32 mono in [-1, 1].
Nothing in this folder knows torch, models or sessions.
"""
