"""Torch blocks that know no family and no checkpoint.

Shape letters, used in every comment: B batch, T time (queries), S source length (keys), U units, D model width,
H heads, K width of a head, V vocabulary. Tensors are [B, T, D]; [B, D, T] only inside convolution blocks.
"""
