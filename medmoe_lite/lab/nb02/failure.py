"""Three sick ways to store a model in four bits, and a healthy one beside them.

None of them raises an error. Three readings tell them apart: how often each of the 16 codes is
used, how large the error of each block is, and what the model still answers.
"""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor

from medmoe_lite import nf4
from medmoe_lite.lab.handed_out import Dealt
from medmoe_lite.lab.nb02 import exam

CAUSES = (
    "one scale for a whole matrix",
    "one input channel is 50 times larger than the others",
    "the two codes of a byte are read in the wrong order",
    "the scale is the largest value, not the largest absolute value",
    "the head and the norms are in four bits too",
)
SICK = Dealt("02", {"run P": CAUSES[2], "run Q": CAUSES[0], "run R": CAUSES[1]})
EVIDENCE = {
    "run P": "run P uses all codes as the healthy run does, and yet every block is wrong.",
    "run Q": "run Q hardly uses its outer codes, and all of its blocks are somewhat worse.",
    "run R": "in run R half of the blocks are as good as in health; the others are nearly all "
    "zeros: the code in the middle is used far too often.",
}
PLACE = "model.layers.2.mlp.up_proj"  # the matrix whose readings are shown
LOUD, CHANNEL = 50.0, 7


def evidence(run: str) -> str:
    """What the readings of a run show, for somebody who named another cause."""
    return f"Look again: {SICK.told(EVIDENCE, run)}"


class Readings(NamedTuple):
    """Share of each code (16,), error of each block of 64 (blocks,), and the exam."""

    codes: list[float]
    blocks: list[float]
    result: exam.Result


@torch.no_grad()
def amplify(model: Any, factor: float = LOUD, channel: int = CHANNEL) -> Any:
    """Make one channel of every norm so many times smaller and the weights that read it larger.

    In full precision the model computes what it did before. Large models come like this.
    """
    for block in model.model.layers:
        attention, mlp = block.self_attn, block.mlp
        readers = {
            block.input_layernorm: (attention.q_proj, attention.k_proj, attention.v_proj),
            block.post_attention_layernorm: (mlp.gate_proj, mlp.up_proj),
        }
        for norm, layers in readers.items():
            norm.weight[channel] /= factor
            for layer in layers:
                layer.weight[:, channel] *= factor
    return model


def store(weight: Tensor, cause: str | None) -> tuple[Tensor, Tensor]:
    """Codes of a weight, and the weight that is read back, with the mistake of `cause`."""
    code = nf4.normal_code()
    block = weight.numel() if cause == CAUSES[0] else nf4.BLOCK
    places, absmax = nf4.quantise(weight, code, block)
    if cause == CAUSES[3]:
        cut = weight.view(-1, block)
        absmax = cut.amax(1)
        between = (code[1:] + code[:-1]) / 2
        places = torch.bucketize(cut / absmax[:, None], between).flatten().to(torch.uint8)
    read = places.view(-1, 2).flip(1).flatten() if cause == CAUSES[2] else places
    return places, nf4.dequantise(read, absmax, code, weight.shape, block)


def examine(base: Any, tokenizer: Any, run: str, asked: Any) -> Readings:
    """Store a copy of the base with the mistake of `run` and take the readings.

    Args:
        run: "run P", "run Q", "run R", or a cause itself; any other name is healthy.
    """
    cause = SICK.get(run, run if run in CAUSES else None)
    model = copy.deepcopy(base)
    if cause == CAUSES[1]:
        amplify(model)
    want = exam.linears(model)[PLACE].weight.detach().clone()
    places, got = store(want, cause)
    model = exam.rounded(model, lambda weight: store(weight, cause)[1])
    if cause == CAUSES[4]:
        for name, parameter in model.named_parameters():
            if name.startswith(("model.embed", "lm_head")) or "norm" in name:
                parameter.data.copy_(store(parameter.data, None)[1])
    shares = torch.bincount(places.long(), minlength=16) / len(places)
    cut = [t.flatten().view(-1, nf4.BLOCK).abs().mean(1) for t in (got - want, want)]
    errors = (cut[0] / cut[1]).sort().values
    return Readings(shares.tolist(), errors.tolist(), exam.sit(model, tokenizer, asked))
