"""How much memory training takes, by part, from a model's configuration alone.

    full     every weight is trained: weight, gradient and two Adam moments, 4 bytes each
    lora     the base rests in 16 bits; only adapters have gradients and moments
    qlora    the same, and the linear layers of the base rest in nf4 with double quantisation:
             4 bits a weight + 8 bits a block of 64 + 32 bits a 256 blocks = 4.127 bits

No weight is loaded, so the plan of a model of any size costs nothing. Activations depend on batch
and length and on the implementation; where they are asked for, the result is an estimate.
Source of the storage format: QLoRA, Dettmers et al. 2023, https://arxiv.org/abs/2305.14314
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Any

METHODS = ("full", "lora", "qlora")
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
NF4_BYTES = (4 + 8 / 64 + 32 / (64 * 256)) / 8

# Sizes of https://huggingface.co/Qwen/Qwen1.5-1.8B-Chat (config.json), so that no hub is needed.
QWEN_1_8B = SimpleNamespace(
    hidden_size=2048,
    intermediate_size=5504,
    num_hidden_layers=24,
    num_attention_heads=16,
    num_key_value_heads=16,
    vocab_size=151936,
    tie_word_embeddings=False,
)


@dataclass(frozen=True)
class Parameters:
    """Parameter counts of a base: linear layers in the blocks, their biases, and the rest."""

    linear: int
    other: int

    @property
    def total(self) -> int:
        return self.linear + self.other


@dataclass(frozen=True)
class Memory:
    """Bytes of each part of a training run."""

    weights: float
    adapters: float
    gradients: float
    optimiser: float
    activations: float

    @property
    def total(self) -> float:
        return sum(asdict(self).values())

    def gib(self) -> dict[str, float]:
        """The parts and their sum in GiB, for tables and bars."""
        return {
            name: value / 2**30 for name, value in (asdict(self) | {"total": self.total}).items()
        }


def linear_shapes(config: Any) -> dict[str, tuple[int, int]]:
    """(inputs, outputs) of the seven linear layers of one block of a Qwen2 model.

    >>> linear_shapes(QWEN_1_8B)["gate_proj"]
    (2048, 5504)
    """
    c = _config(config)
    head = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    queries, keys = c.num_attention_heads * head, c.num_key_value_heads * head
    return {
        "q_proj": (c.hidden_size, queries),
        "k_proj": (c.hidden_size, keys),
        "v_proj": (c.hidden_size, keys),
        "o_proj": (queries, c.hidden_size),
        "gate_proj": (c.hidden_size, c.intermediate_size),
        "up_proj": (c.hidden_size, c.intermediate_size),
        "down_proj": (c.intermediate_size, c.hidden_size),
    }


def parameters(config: Any) -> Parameters:
    """Count a Qwen2 model's parameters by formula.

    >>> parameters(QWEN_1_8B).total
    1836828672
    """
    c = _config(config)
    shapes = linear_shapes(c)
    linear = sum(inputs * outputs for inputs, outputs in shapes.values())
    bias = sum(shapes[name][1] for name in ATTENTION[:3])
    embeddings = c.vocab_size * c.hidden_size * (1 if c.tie_word_embeddings else 2)
    other = embeddings + c.hidden_size + c.num_hidden_layers * (bias + 2 * c.hidden_size)
    return Parameters(linear=c.num_hidden_layers * linear, other=other)


def adapter_parameters(
    config: Any,
    rank: int = 16,
    experts: int = 0,
    shared: int = 0,
    targets: Sequence[str] = MLP,
    plain: Sequence[str] = ATTENTION,
) -> int:
    """Count the trained parameters of LoRA (`experts=0`) or of a mixture of LoRA experts.

    Args:
        config: the base's configuration.
        rank: of each expert and of each plain module.
        experts: routed experts in each target; 0 makes the targets ordinary LoRA.
        shared: rank of the always-open expert in multiples of `rank`.
        targets: layers that get the mixture, with a router of one row and one bias an expert.
        plain: layers that get ordinary LoRA.

    >>> adapter_parameters(QWEN_1_8B, rank=16, experts=8)
    77734464
    """
    shapes = linear_shapes(config)
    unknown = sorted({*targets, *plain} - set(shapes))
    if unknown:
        raise ValueError(f"no linear layer named {unknown[0]}; there are {', '.join(shapes)}.")
    columns = rank * (experts + shared) if experts else rank
    router = {name: experts * (shapes[name][0] + 1) for name in targets}
    count = sum(columns * sum(shapes[name]) + router[name] for name in targets)
    count += sum(rank * sum(shapes[name]) for name in plain)
    return _config(config).num_hidden_layers * count


def memory(
    config: Any,
    method: str = "qlora",
    *,
    rank: int = 16,
    experts: int = 0,
    shared: int = 0,
    targets: Sequence[str] = MLP,
    plain: Sequence[str] = ATTENTION,
    batch: int = 0,
    length: int = 0,
) -> Memory:
    """Bytes of each part of training a Qwen2 model with Adam.

    Args:
        config: a transformers configuration, a dict, or any object with its size fields.
        method: "full", "lora" or "qlora".
        rank, experts, shared, targets, plain: the adapter, as in `adapter_parameters`.
        batch, length: sequences and tokens a sequence, for the activations; 0 leaves them out.

    Returns:
        The parts in bytes.

    Raises:
        ValueError: an unknown method, or a layer name that the model does not have.

    >>> bars = {method: memory(QWEN_1_8B, method).gib()["total"] for method in METHODS}
    >>> {method: round(total, 1) for method, total in bars.items()}
    {'full': 27.4, 'lora': 3.6, 'qlora': 2.0}
    """
    if method not in METHODS:
        raise ValueError(f'method="{method}" is unknown. Type one of {", ".join(METHODS)}.')
    base = parameters(config)
    running = activations(config, batch, length, 4 if method == "full" else 2)
    if method == "full":
        return Memory(4 * base.total, 0, 4 * base.total, 8 * base.total, running)
    trained = adapter_parameters(config, rank, experts, shared, targets, plain)
    linear = NF4_BYTES if method == "qlora" else 2
    weights = linear * base.linear + 2 * base.other
    return Memory(weights, 4 * trained, 4 * trained, 8 * trained, running)


def activations(config: Any, batch: int, length: int, width: int = 2) -> float:
    """Estimate of what the forward pass keeps for the backward pass, in bytes.

    Per token and block: the inputs of the two norms and of the linear layers, queries, keys,
    values, the attention's result, and gate, up, their activation and product. Then the logits,
    which the loss keeps once more in 32 bits, with their gradient.

    Args:
        config: the base's configuration.
        batch, length: sequences, and tokens a sequence.
        width: bytes a number.
    """
    c = _config(config)
    shapes = linear_shapes(c)
    wide, keys = c.hidden_size, shapes["k_proj"][1]
    block = width * (6 * wide + 2 * keys + shapes["q_proj"][1] + 4 * c.intermediate_size)
    return float(batch * length * (c.num_hidden_layers * block + (width + 8) * c.vocab_size))


def _config(config: Any) -> Any:
    """A dict as an object with fields; anything else as it is."""
    return SimpleNamespace(**config) if isinstance(config, Mapping) else config


def __getattr__(name: str) -> Any:
    """`plan_training` and `Plan` of plan_training.py, loaded when they are first used."""
    if name in ("plan_training", "Plan"):
        from . import plan_training as room

        return getattr(room, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
