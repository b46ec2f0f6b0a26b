"""Train a mixture through the package, with a term of one's own on its routers.

    loss = answer tokens + weight · mean over routers of term(weights, probabilities, mask)

`read` is what the terms and the dials look at: every router of the last forward pass.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from peft import get_peft_model
from torch import Tensor

from medmoe_lite import MoLoraConfig
from medmoe_lite.balance import last_routings
from medmoe_lite.lab.fast import shortened
from medmoe_lite.measure.routing_log import module_keys
from medmoe_lite.tasks import Example, collate, encode

Batch = dict[str, Tensor]
Term = Callable[[Tensor, Tensor, Tensor], Tensor]
LAYOUT = {"num_experts": 8, "top_k": 2, "r": 4, "lora_alpha": 8}
HEAD_START = 2.0  # added to the router's bias of experts 0 and 1


class Reading(NamedTuple):
    """One router: (b, t, e), (b, t, e), (b, t)."""

    layer: int
    module: str
    weights: Tensor
    probabilities: Tensor
    mask: Tensor


def mixture(base: Any, head_start: float = 0.0, seed: int = 0, **changed: Any) -> Any:
    """A copy of the base with experts in its feed-forward layers and plain LoRA in attention.

    Args:
        head_start: added to the bias of experts 0 and 1 in all routers: the rich who get richer.
        changed: fields of `MoLoraConfig` other than `LAYOUT`.
    """
    torch.manual_seed(seed)
    model = get_peft_model(copy.deepcopy(base), MoLoraConfig(**{**LAYOUT, **changed}))
    with torch.no_grad():
        for name, bias in routers(model).items():
            if name.endswith("bias"):
                bias[:2] += head_start
    return model


def routers(model: Any) -> dict[str, Tensor]:
    """The parameters of all routers, by name."""
    return {n: p for n, p in model.named_parameters() if "molora_router" in n}


def inputs_of(batch: Mapping[str, Tensor]) -> Batch:
    """What the model is called with: the batch without its family labels."""
    return {key: value for key, value in batch.items() if key != "family"}


def last_readings(model: Any) -> list[Reading]:
    """All routers of the last forward pass, which had gradients on."""
    found = [one for one in last_routings(model, None, "last_readings") if one.mask is not None]
    keys = module_keys([one.layer.layer_name for one in found])
    return [
        Reading(*keys[one.layer.layer_name], one.routing.weights, one.routing.probabilities,
                one.mask)  # type: ignore[arg-type]
        for one in found
    ]  # fmt: skip


def read(model: Any, batch: Mapping[str, Tensor]) -> list[Reading]:
    """All routers while the model reads a batch; the numbers are cut from the graph."""
    with torch.enable_grad():
        model(**inputs_of(batch))
    found = [
        one._replace(weights=one.weights.detach(), probabilities=one.probabilities.detach())
        for one in last_readings(model)
    ]
    with torch.no_grad():
        model(input_ids=batch["input_ids"][:1, :1])  # the model lets go of the graph
    return found


def probe(items: Mapping[str, Sequence[Example]], tokenizer: Any, each: int = 12) -> Batch:
    """One padded batch with `each` items of every family."""
    rows = [encode(item, tokenizer) for found in items.values() for item in found[:each]]
    batch = collate(rows, tokenizer.pad_token_id)
    batch.pop("prompt_mask")
    return batch


def mean_term(model: Any, term: Term) -> Tensor:
    """Mean over all routers of `term(weights, probabilities, mask)` in the last forward pass."""
    found = last_readings(model)
    return torch.stack([term(one.weights, one.probabilities, one.mask) for one in found]).mean()


def fit(
    model: Any,
    batches: Sequence[Mapping[str, Tensor]],
    term: Term,
    weight: float,
    lr: float = 8e-3,
    on_step: Callable[[float], None] | None = None,
    before_update: Callable[[Any], None] | None = None,
) -> list[float]:
    """One step of AdamW a batch; returns the losses of the answer tokens, without the term.

    Args:
        term: of one router; `mean_term` takes the mean.
        weight: of the term; at 0 it is not computed.
        on_step: gets each loss, for a curve.
        before_update: called between backward and update.
    """
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=lr, weight_decay=0.0)
    batches, losses = shortened(batches), []
    model.train()
    for step, batch in enumerate(batches):
        optimizer.param_groups[0]["lr"] = lr * min((step + 1) / 10, 1 - 0.9 * step / len(batches))
        loss = model(**inputs_of(batch)).loss
        whole = loss + weight * mean_term(model, term) if weight else loss
        optimizer.zero_grad()
        whole.backward()
        if before_update is not None:
            before_update(model)
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        losses.append(loss.item())
        if on_step is not None:
            on_step(losses[-1])
    model.eval()
    return losses


@torch.no_grad()
def loss_on(model: Any, batch: Mapping[str, Tensor]) -> float:
    """Mean loss of the answer tokens of a batch."""
    return float(model(**inputs_of(batch)).loss)
