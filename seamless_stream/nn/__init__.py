"""Torch blocks that know no family and no checkpoint.

Shape letters, used in every comment: B batch, T time (queries), S source length (keys), U units, D model width,
H heads, K width of a head, V vocabulary. Tensors are [B, T, D]; [B, D, T] only inside convolution blocks.
"""

import os

# On a CPU, oneDNN keeps the compiled kernels of the last 1024 shapes of convolutions, and speech has ever new lengths:
# 145 MB more in the first twelve minutes. It reads this before its first convolution; who has set it is obeyed.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
