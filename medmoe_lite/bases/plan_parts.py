"""What one forward and backward pass needs, in bytes, tensor by tensor.

One token leaves behind in one block (`d` hidden, `m` intermediate, `w` bytes a number):

    norms        2 · 4d            each norm works on a copy in 32 bits
    attention    q, k, v, result   w each
    mlp          gate, up, silu    w m each, and their product where an adapter reads it
    adapters     with dropout a masked copy of the input and the mask, for each adapted layer;
                 without, the input itself, which layers with the same input share
    routers      probabilities, weights and choice of each expert

Then the loss, in 32 bits: the softmax of the logits, its gradient and that of the logits, alive
at once: 12 bytes a word of the vocabulary and position.

With checkpointing a block keeps its input alone, and one block at a time is computed again. With
the chunked loss (train/chunked_loss.py) some positions at a time are turned into logits: one
matrix in 32 bits and a narrow copy of it.

Every line here was compared with what autograd keeps: `python -m medmoe_lite.measure.plan_check`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .plan import linear_shapes

READS = {"q_proj": "hidden", "k_proj": "hidden", "v_proj": "hidden", "o_proj": "attention",
         "gate_proj": "mlp", "up_proj": "mlp", "down_proj": "product"}  # fmt: skip
ALREADY_KEPT = "attention"  # the result of the attention, which the attention keeps itself
LARGE, CELLS = 30_000, {"cpu": 2**24, "cuda": 2**26}  # of train/chunked_loss.py
KEEP = 1 / 16  # of fused.py: a projection is kept where it is at most this share of its input


class Update(NamedTuple):
    """One adapter on one linear layer: rank columns, routed experts, dropout, does it learn.

    `opened`: the columns that a token computes, where that is fewer (the sparse path); else 0.
    """

    rank: int
    experts: int = 0
    dropout: bool = False
    learns: bool = True
    opened: int = 0


Updates = Mapping[str, Sequence[Update]]  # module name -> its adapters


@dataclass(frozen=True)
class Setting:
    """How a step is computed.

    Args:
        batch: sequences in one forward pass; length: tokens of each, padding included.
        answers: positions a sequence with a loss; by default all.
        width: bytes of the base's numbers; adapter_width: of the adapters'.
        four_bit: linear layers in nf4.
        checkpointing, chunked_loss: see above; "auto" is the rule of train/chunked_loss.py.
        accumulation: forward passes a step.
        attention: "sdpa" or "flash", which keep no scores, or "eager", which keeps them.
        device: "cuda" or "cpu"; a CPU keeps a dropout mask in full width.
    """

    batch: int = 1
    length: int = 1024
    answers: int | None = None
    width: int = 2
    adapter_width: int = 4
    four_bit: bool = True
    checkpointing: bool = False
    chunked_loss: bool | str = "auto"
    accumulation: int = 1
    attention: str = "sdpa"
    device: str = "cuda"

    @property
    def tokens(self) -> int:
        """Tokens in one forward pass."""
        return self.batch * self.length

    @property
    def scored(self) -> int:
        """Positions with a loss in one forward pass."""
        return self.batch * min(self.length, self.answers or self.length)

    @property
    def autocast(self) -> bool:
        """Whether adapters in 32 bits are cast for the computation, as Trainer does on a GPU."""
        return self.device == "cuda" and self.width < self.adapter_width

    @property
    def inner_width(self) -> int:
        """Bytes of the numbers in which the adapters are computed."""
        return self.width if self.autocast else self.adapter_width


def block(config: Any, updates: Updates, s: Setting, first: bool = False) -> float:
    """Bytes that a block keeps for the backward pass, attention scores not counted.

    The first block reads the embeddings, which do not learn: no gradient goes through its first
    norm, nor through the masks of what reads that norm; and where its attention carries no
    adapter, nothing of the attention is kept, nor of the second norm.

    >>> from medmoe_lite.bases.plan import QWEN_1_8B
    >>> plain = {name: [Update(16)] for name in ("q_proj", "k_proj", "v_proj", "o_proj")}
    >>> routed = {name: [Update(128, 8)] for name in ("gate_proj", "up_proj", "down_proj")}
    >>> block(QWEN_1_8B, plain | routed, Setting(length=1))
    86152.0
    """
    shapes, w = linear_shapes(config), s.width
    queries, keys, wide = shapes["q_proj"][1], shapes["k_proj"][1], shapes["gate_proj"][1]
    still = {"hidden"} if first else set()  # inputs through which no gradient goes
    if first and not any(READS[module] in ("hidden", "attention") for module in updates):
        still = {"hidden", "attention", "mlp"}
    norms = sum(4 * shapes["q_proj"][0] for what in ("hidden", "mlp") if what not in still)
    if getattr(config, "model_type", "") == "qwen3":  # two more norms, over queries and keys
        norms += 4 * (queries + keys)
    spread = queries if keys != queries else keys  # shared keys are repeated for every query
    kept = norms + w * 3 * wide
    kept += 0 if "attention" in still else w * (2 * queries + 2 * spread)
    inputs: set[str] = set()
    for module, own in updates.items():
        d_in = shapes[module][0]
        for update in own:
            if update.dropout:
                if READS[module] not in still:
                    kept += (w if s.device == "cpu" else 1) * d_in  # the mask
                kept += w * d_in if update.learns else 0  # the masked copy
            if update.learns and (update.experts or not update.dropout):
                inputs.add(READS[module])
            small = update.rank * s.inner_width
            whole = update.learns and not update.opened and small <= KEEP * w * d_in
            kept += small if whole else 0
            kept += 8 * update.experts + (24 if update.experts else 0)
    widths = {READS[name]: shapes[name][0] for name in READS}
    kept += sum(w * widths[name] for name in inputs - {ALREADY_KEPT})
    return float(s.tokens * kept)


def scores(config: Any, s: Setting) -> float:
    """Bytes of attention scores that one block keeps: with eager attention, length² a head.

    >>> from medmoe_lite.bases.plan import QWEN_1_8B
    >>> scores(QWEN_1_8B, Setting(length=1024, attention="eager")) / 1e6
    100.663296
    """
    each = (4 + s.width) * s.length if s.attention == "eager" else 4
    return float(s.tokens * config.num_attention_heads * each)


def around(config: Any, s: Setting, head: bool = False) -> float:
    """Bytes kept outside of the blocks: the last norm's copy, and what a head pools."""
    return float(s.tokens * config.hidden_size * (4 + 5 * head))


def logits(config: Any, s: Setting) -> float:
    """Most bytes that the last states, logits, softmax and their gradients take at once.

    >>> from medmoe_lite.bases.plan import QWEN_1_8B
    >>> [round(logits(QWEN_1_8B, Setting(chunked_loss=way)) / 1e9, 1) for way in (False, True)]
    [1.9, 0.4]
    """
    words = config.vocab_size
    if s.chunked_loss is False or (s.chunked_loss == "auto" and words < LARGE):
        return float(s.scored * words * 12 + s.tokens * config.hidden_size * s.width)
    rows = min(s.scored, max(1, CELLS[s.device] // words))
    cell = 4 + s.width if s.width < 4 else s.width
    return float(rows * words * cell + 2 * s.scored * config.hidden_size * s.width)


def work(config: Any, updates: Updates, s: Setting) -> float:
    """Bytes that the backward pass of one block holds for a moment, beside what was kept.

    The widest layer decides: the gradient of its input, once from the base and once from the
    adapter, and the input again where the adapter computes in more bits than the base.
    """
    shapes = linear_shapes(config)
    wide, hidden = shapes["down_proj"]
    w, a = s.width, s.inner_width
    in_mlp = any(name in updates for name in ("gate_proj", "up_proj", "down_proj"))
    copies = w + ((2 * a) if in_mlp and a != w else w if in_mlp else 0)
    rank = max((u.opened or u.rank for own in updates.values() for u in own), default=0)
    tokens = s.tokens * (wide * copies + hidden * (2 * w + a) + 3 * a * rank)
    unpacked = w * wide * hidden if s.four_bit else 0
    return float(tokens + unpacked)


def adapter_numbers(config: Any, blocks: Iterable[Updates], learning: bool = False) -> int:
    """Numbers in the adapters of all blocks, routers included; `learning`: only those that learn.

    >>> from medmoe_lite.bases.plan import QWEN_1_8B
    >>> adapter_numbers(QWEN_1_8B, [{"gate_proj": [Update(128, 8)]}])
    983048
    """
    shapes = linear_shapes(config)
    return sum(
        update.rank * sum(shapes[module]) + update.experts * (shapes[module][0] + 1)
        for updates in blocks
        for module, own in updates.items()
        for update in own
        if update.learns or not learning
    )
