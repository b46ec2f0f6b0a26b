"""The two stages of notebook 07, small: facts in a first adapter, a format in a second one.

Stage 1 teaches a few facts, with replay of what the base knows. Stage 2 adds the adapter
"alignment" and teaches one strict format. The learner's penalty and projection are handed in as
functions, so this loop knows nothing of them.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from medmoe_lite.lab.fast import shortened
from medmoe_lite.lab.live import live
from medmoe_lite.lab.teach import Batch, known_items, lessons, new_facts, recall, teach
from medmoe_lite.tasks import Example, make

DRUGS, FORMAT = 12, "json"
RANK, BATCH, LR = 16, 18, 4e-3
Penalty = Callable[[Any], Tensor]


def facts(wordings: str = "taught") -> list[Example]:
    """Four facts about each of twelve invented drugs, in three wordings."""
    return new_facts(DRUGS, wordings)


def suites(n: int = 40) -> dict[str, list[Example]]:
    """What is asked on the way: facts in held-out wordings, the format, general abilities."""
    return {
        "facts": facts("heldout"),
        "format": make(FORMAT, "test", n, 1, seen_conditions=True),
        "general": known_items(n=10),
    }


def fact_batches(tokenizer: Any, steps: int) -> list[Batch]:
    """Facts in taught wordings, a third of each batch replay."""
    return lessons(tokenizer, facts(), steps, BATCH, known_items(n=60, split="train"))


def format_batches(tokenizer: Any, steps: int, batch_size: int = BATCH) -> list[Batch]:
    """The format, a third of each batch replay; no fact is shown again."""
    replay = known_items(n=60, split="train")
    return lessons(tokenizer, make(FORMAT, "train", 400), steps, batch_size, replay, seed=1)


def adapter(base: Any, seed: int = 0) -> Any:
    """A copy of the base with one open LoRA of rank 16 on all linear layers, as a PEFT model."""
    from peft import get_peft_model

    from medmoe_lite import MoLoraConfig
    from medmoe_lite.reproduce.settings import lora

    torch.manual_seed(seed)
    return get_peft_model(copy.deepcopy(base), MoLoraConfig(**lora(RANK)))


def learn_facts(base: Any, tokenizer: Any, steps: int = 50) -> Any:
    """Stage 1: a model whose adapter "default" knows the facts."""
    model = adapter(base)
    batches = shortened(fact_batches(tokenizer, steps))
    with live(len(batches), "loss of the facts") as show_loss:
        teach(model, batches, LR, show_loss)
    return model.eval()


def add_second(model: Any, seed: int = 1) -> Any:
    """A copy of the model with a second adapter beside the first; not open yet."""
    from medmoe_lite import MoLoraConfig
    from medmoe_lite.reproduce.settings import lora

    copied = copy.deepcopy(model)
    torch.manual_seed(seed)
    copied.add_adapter("alignment", MoLoraConfig(**lora(RANK)))
    return copied


def pairs_of(model: Any, part: str = "A") -> list[tuple[Tensor, Tensor]]:
    """The live (A_K, A_a) of every layer, each (16, d); with part="B", the B's, (16, d_out)."""
    from medmoe_lite.orthogonal import adapter_pairs

    known, aligned = (adapter_pairs(model, name) for name in ("default", "alignment"))
    return [(getattr(known[name], part), getattr(aligned[name], part)) for name in known]


def fact_directions(model: Any, tokenizer: Any, energy: float = 0.95) -> list[Tensor]:
    """Q (d, m) of every layer, in the order of `pairs_of`: what it reads where facts are asked.

    Args:
        model: of stage 1, with "default" open.
        energy: share of the squared size of the inputs that the directions hold.
    """
    from medmoe_lite.orthogonal import adapter_pairs
    from medmoe_lite.projection import input_directions

    batches = lessons(tokenizer, facts(), len(facts()) // BATCH, BATCH)
    inputs = [{key: batch[key] for key in ("input_ids", "attention_mask")} for batch in batches]
    found = input_directions(model, inputs, energy)
    return [found[name] for name in adapter_pairs(model, "default")]


def align(
    model: Any,
    batches: Sequence[Batch],
    penalty: Penalty | None = None,
    weight: float = 0.0,
    after_step: Callable[[Any], None] | None = None,
    probe: Callable[[int, Any, float, float], None] | None = None,
    picture: bool = True,
) -> Any:
    """Stage 2: AdamW on what learns; returns the model.

    Args:
        penalty: model -> scalar; `weight` times that is added to the loss.
        after_step: called with the model before the first step and after each one.
        probe: called with (step, model, loss of the format, penalty) before each step.
        picture: draw the loss while it trains.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=LR, weight_decay=0.0)
    batches = shortened(batches)
    drawn: AbstractContextManager[Any] = (
        live(len(batches), "loss of the format") if picture else nullcontext(lambda value: None)
    )
    after_step = after_step or (lambda model: None)
    with drawn as show_loss, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        after_step(model)
        for step, batch in enumerate(batches):
            part = 1 - 0.9 * step / len(batches)
            optimizer.param_groups[0]["lr"] = LR * min((step + 1) / 8, part)
            loss = model(**batch).loss
            term = penalty(model) if penalty is not None else torch.zeros(())
            if probe is not None:
                probe(step, model, float(loss), float(term))
            show_loss(float(loss))
            (loss + weight * term).backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            after_step(model)
    return model.eval()


def asked(model: Any, tokenizer: Any, items: Mapping[str, Sequence[Example]]) -> dict[str, float]:
    """Share of right answers of every suite."""
    return {name: recall(model, tokenizer, found) for name, found in items.items()}
