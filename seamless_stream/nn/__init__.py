"""Torch blocks that know no family and no checkpoint.

Shape letters, used in every comment: B batch, T time (queries), S source length (keys), U units, D model width,
H heads, K width of a head, V vocabulary. Tensors are [B, T, D]; [B, D, T] only inside convolution blocks.
"""

import os

# On a CPU, oneDNN and the layer above it each keep what they compiled for the last 1024 shapes of convolutions, and
# speech has ever new lengths: 145 MB more in the first twelve minutes. Both read these before the first convolution;
# who has set them is obeyed.
for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(name, "64")
