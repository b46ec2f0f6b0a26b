"""A recipe from its adapters to a generated token, on any base (for true_size and gpu_run).

The texts are one sentence again and again, cut to one length; what matters is that the trainer,
its files and its way back from them are the real ones.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

TEXT = (
    "Question: which drug is given first, and at what dose? Answer: the first choice is stated "
    "in the guideline; the dose depends on weight, age and kidney function. "
)


def recipe_for(name: str, **fields: Any) -> Any:
    """A recipe, complete in the paper's column, with other values such as `steps=2`."""
    from ..train.recipe import Recipe
    from ..train.settle import settle

    recipe = Recipe.read(name)
    typed = [f"{key}={'null' if value is None else value}" for key, value in fields.items()]
    return settle(recipe, "paper", typed, dict.fromkeys(recipe.data(), 1)).recipe


def examples(recipe: Any, tokenizer: Any, vocabulary: int, length: int) -> dict[str, list[dict]]:
    """Four encoded texts of one length for every source; the first half is the prompt."""
    import torch

    head = recipe.head("paper")
    labels = [] if head is None else head["labels"]
    found: dict[str, list[dict]] = {}
    for number, source in enumerate(recipe.data()):
        rows = []
        for row in range(4):
            seed = torch.Generator().manual_seed(100 * number + row)
            ids = torch.randint(min(vocabulary, 1000), (length,), generator=seed).tolist()
            if tokenizer is not None:
                text = f"{source} {row}. " + TEXT * (1 + length // 20)
                ids = tokenizer(text)["input_ids"][:length]
            example = {"input_ids": ids, "labels": [-100] * (len(ids) // 2) + ids[len(ids) // 2 :]}
            if labels and row % 2:
                example["class_label"] = labels[row % len(labels)]
            rows.append(example)
        found[source] = rows
    return found


def words_of(data: dict[str, list[dict]]) -> list[int]:
    """Every word that occurs.

    >>> words_of({"facts": [{"input_ids": [3, 1, 3]}]})
    [1, 3]
    """
    return sorted({word for rows in data.values() for row in rows for word in row["input_ids"]})


def find_tokenizer(folder: str | None) -> Any:
    """The tokenizer in a folder, or in MEDMOE_REALDATA; None without either."""
    place = folder or os.environ.get("MEDMOE_REALDATA", "")
    if place and not folder:
        place = str(Path(place) / "qwen" / "Qwen1.5-1.8B-Chat")
    if not place or not Path(place).is_dir():
        return None
    from ..bases.load import load_tokenizer
    from ..bases.source import resolve

    tokenizer = load_tokenizer(resolve(Path(place)), local_files_only=True)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def run_recipe(
    recipe: Any,
    model: Any,
    tokenizer: Any,
    length: int,
    out: Path,
    on_step: Callable[[int, Any], None] | None = None,
) -> tuple[Any, dict[str, Any]]:
    """All stages of a recipe; the first is stopped after a step, and goes on from its files.

    Returns:
        The model, still with its adapters, and what happened.
    """
    from ..train.recipe_run import prepare
    from ..train.run import run_stage

    data = examples(recipe, tokenizer, model.config.vocab_size, length)
    pad = tokenizer or SimpleNamespace(pad_token_id=0)
    found: dict[str, Any] = {"recipe": recipe.name, "stages": []}
    for number, stage in enumerate(recipe.stages("paper")):
        began, place = time.perf_counter(), out / recipe.name / stage.name
        model = prepare(recipe, model, stage, "paper")
        told: dict[str, Any] = {"stage": stage.name}
        if number == 0 and stage.steps > 1:
            told["stopped"] = stopped_after_a_step(model, pad, stage, data, place)
            model = prepare(recipe, bare(model), stage, "paper")  # as a new process would have it
        history = run_stage(model, pad, stage, data, place, on_step=on_step)
        told |= {"losses": history.column("loss"), "seconds": time.perf_counter() - began}
        told["checkpoints"] = sorted(path.name for path in place.glob("checkpoint-*"))
        found["stages"].append(told)
    return model, found


def stopped_after_a_step(model: Any, tokenizer: Any, stage: Any, data: Any, place: Path) -> str:
    """Begin a stage and interrupt it, as Ctrl-C does; returns what it said."""
    from ..train.run import run_stage

    def stop(step: int, _: Any) -> None:
        if step == 1:
            signal.raise_signal(signal.SIGINT)

    try:
        run_stage(model, tokenizer, stage, data, place, on_step=stop)
    except KeyboardInterrupt as error:
        return str(error).partition(".")[0]  # without the folder
    raise RuntimeError(f"{stage.name} was not stopped after its first step")


def bare(model: Any) -> Any:
    """The base again, without adapters and head."""
    from ..eci_model import head_of, without_eci

    if head_of(model) is not None:
        without_eci(model)
    return model.unload() if hasattr(model, "peft_config") else model


def generate(model: Any, tokenizer: Any, new: int = 3) -> dict[str, Any]:
    """A few tokens after a prompt, greedily, from the cache."""
    import torch

    device = next(model.parameters()).device
    ids = [1, 2, 3] if tokenizer is None else tokenizer("Question:")["input_ids"]
    given = torch.tensor([ids], device=device)
    with torch.no_grad():
        made = model.generate(
            input_ids=given, attention_mask=torch.ones_like(given),
            max_new_tokens=new, min_new_tokens=new, do_sample=False, pad_token_id=0,
        )  # fmt: skip
    fresh = made[0, given.shape[1] :].tolist()
    return {"tokens": fresh, "text": None if tokenizer is None else tokenizer.decode(fresh)}


def bare_type(model: Any) -> str:
    """What a feed-forward layer of the base is, for the record: "Linear4bit" or "Linear"."""
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    return type(causal.get_decoder().layers[0].mlp.up_proj.base_layer).__name__
