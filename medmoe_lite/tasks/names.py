"""Invented names, each of two word pieces: `zol` + `tin`.

Contexts that must be read (and not remembered) speak of entities that do not exist. Their
names are 40 x 40 pairs of syllables in one fixed shuffled order: the first 48 are reserved
for the table of invented drugs, the others are drawn afresh for every context.
"""

from __future__ import annotations

import random
from functools import cache

HEADS = (
    "bax bup bim bor cad cel cog dax dem dov fal fen gal gim hax hob jal jev kel kib "
    "lax lom mab mev nax nib pav pel quo rab rix sab sul tav tob vax vel wab yim zol"
).split()
TAILS = (
    "bek bol cor dan dex dun fan fex gan gor hul jan kas ken kor lan lex lim mak mex "
    "mon nak nel nor pak pex pol rak rel ron sak sel sor tak tex tin tor vak vex zin"
).split()
RESERVED = 48


@cache
def all_names() -> tuple[str, ...]:
    """All 1600 names in their one fixed order.

    >>> len(all_names()), len(set(all_names()))
    (1600, 1600)
    """
    names = [head + tail for head in HEADS for tail in TAILS]
    random.Random("names").shuffle(names)
    return tuple(names)


def fresh_names(rng: random.Random, n: int) -> list[str]:
    """`n` different names that no table of facts uses."""
    return rng.sample(all_names()[RESERVED:], n)
