"""Four bits by hand: nf4 code book, blockwise absmax, double quantisation, in plain torch.

A weight becomes one of 16 levels, times a scale that it shares with its block of 64:

    64 weights ----> absmax (1 number) ---------> 8 bits, in blocks of 256, after their mean
         |              |
         '--- / absmax -'--> nearest of 16 levels ----> 64 codes of 4 bits, two a byte

    w  ~  level[code] · absmax          4 + 8 / 64 + 32 / (64 · 256) = 4.127 bits a weight

The levels lie at quantiles of the normal distribution, so that each is used about as often as the
others by weights that are normally distributed. This file is for reading; models are loaded with
bitsandbytes, whose 4-bit codes and values it gives exactly. Of the 8-bit scales, bitsandbytes
rounds about two in a thousand to the second nearest level on a CPU.

Source: QLoRA, Dettmers et al. 2023, https://arxiv.org/abs/2305.14314, sections 2 and 3.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

BLOCK, OUTER_BLOCK = 64, 256  # weights that share a scale; scales that share one of their own


def normal_code(bits: int = 4) -> Tensor:
    """Levels at equally spaced quantiles of the normal distribution; 4 bits give nf4.

    One half of the levels is positive, one is zero, the rest is negative. The outermost quantile
    lies between those of `2**bits` and of `2**bits - 1` levels, as in QLoRA.

    Returns:
        (2**bits,) ascending, from -1 to 1.

    >>> [round(level, 3) for level in normal_code()[-4:].tolist()]
    [0.441, 0.563, 0.723, 1.0]
    """
    levels = 2**bits
    outer = round(1 - (1 / levels + 1 / (levels - 1)) / 4, 7)

    def half(count: int) -> Tensor:
        shares = torch.linspace(outer, 0.5, count + 1)[:-1]
        return torch.special.ndtri(shares.double()).float()

    code = torch.cat([-half(levels // 2 - 1), torch.zeros(1), half(levels // 2)])
    return (code / code.max()).sort().values


def uniform_code(bits: int = 4) -> Tensor:
    """Equally spaced levels, as many below zero as above; the spare code is not used.

    >>> uniform_code(2).tolist()
    [-1.0, 0.0, 1.0]
    """
    most = 2 ** (bits - 1) - 1
    return torch.arange(-most, most + 1) / most


def dynamic_code() -> Tensor:
    """256 levels over seven decades, denser near zero, in which the scales are stored.

    >>> dynamic_code().shape
    torch.Size([256])
    """
    parts = []
    for power in range(7):
        edges = torch.linspace(0.1, 1, 2**power + 1)
        middle = (edges[:-1] + edges[1:]) / 2 * 10.0 ** (power - 6)
        parts += [middle, -middle]
    return torch.cat([*parts, torch.tensor([0.0, 1.0])]).sort().values


def quantise(weight: Tensor, code: Tensor, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """The nearest level for every weight, and the largest absolute value of each block.

    Args:
        weight: any shape; its rows are laid one behind the other and cut into blocks. The last
            block may be shorter.
        code: (levels,) ascending, at most 256.
        block: weights in one block.

    Returns:
        Places in `code` as bytes, (numbers,), and absmax, (blocks,), in float32.

    >>> quantise(torch.tensor([0.5, -2.0, 0.1]), uniform_code(2), block=2)
    (tensor([1, 0, 2], dtype=torch.uint8), tensor([2.0000, 0.1000]))
    """
    flat = weight.detach().flatten().float()
    padded = torch.nn.functional.pad(flat, (0, -len(flat) % block)).view(-1, block)
    absmax = padded.abs().amax(1)
    scaled = padded * (1 / absmax.clamp_min(1e-38))[:, None]
    between = (code[:-1] + code[1:]) / 2
    places = torch.bucketize(scaled, between).flatten()
    return places[: len(flat)].to(torch.uint8), absmax


def dequantise(
    places: Tensor,
    absmax: Tensor,
    code: Tensor,
    shape: Sequence[int],
    block: int = BLOCK,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """The weights that places and scales stand for, of the given shape.

    >>> code = uniform_code(2)
    >>> dequantise(*quantise(torch.tensor([0.5, -2.0, 0.1]), code, 2), code, (3,), 2)
    tensor([ 0.0000, -2.0000,  0.1000])
    """
    scales = absmax.float().repeat_interleave(block)[: len(places)]
    return (code[places.long()] * scales).view(*shape).to(dtype)


def double_quantise(absmax: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The scales in 8 bits: less their mean, in blocks of 256.

    Args:
        absmax: (blocks,)

    Returns:
        Places in `dynamic_code`, (blocks,); their own absmax, (blocks / 256,); the mean, ().
    """
    mean = absmax.mean()
    return *quantise(absmax - mean, dynamic_code(), OUTER_BLOCK), mean


def restore_absmax(places: Tensor, scales: Tensor, mean: Tensor) -> Tensor:
    """The scales that `double_quantise` has stored: (blocks,)

    >>> absmax = torch.tensor([1.0, 2.0, 6.0])
    >>> [round(scale, 2) for scale in restore_absmax(*double_quantise(absmax)).tolist()]
    [0.99, 2.0, 6.0]
    """
    return dequantise(places, scales, dynamic_code(), places.shape, OUTER_BLOCK) + mean


def pack(places: Tensor) -> Tensor:
    """Two 4-bit places a byte, the first in the upper half: (numbers,) -> (numbers / 2,)

    >>> pack(torch.tensor([1, 15, 7], dtype=torch.uint8))
    tensor([ 31, 112], dtype=torch.uint8)
    """
    even = torch.nn.functional.pad(places, (0, len(places) % 2))
    return (even[::2] << 4) | even[1::2]


def unpack(packed: Tensor, numbers: int) -> Tensor:
    """The first `numbers` places that `pack` has stored.

    >>> unpack(torch.tensor([31, 112], dtype=torch.uint8), 3)
    tensor([ 1, 15,  7], dtype=torch.uint8)
    """
    packed = packed.flatten()
    return torch.stack([packed >> 4, packed & 15], 1).flatten()[:numbers]


def bits_per_weight(bits: int = 4, block: int = BLOCK, double: bool = True) -> float:
    """Bits that one weight takes, scales included.

    >>> bits_per_weight(), bits_per_weight(double=False)
    (4.126953125, 4.5)
    """
    scale = 8 + 32 / OUTER_BLOCK if double else 32
    return bits + scale / block
