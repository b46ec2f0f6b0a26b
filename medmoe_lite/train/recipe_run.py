"""Do what a recipe says: data, adapters, and one stage after the other.

examples(recipe) -> data;   for each stage:  prepare the model -> run_stage -> History
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .history import History
from .recipe import Recipe
from .recipe_file import FACTS, STEPS
from .run import run_stage
from .seeds import seeded
from .stage import Stage

if TYPE_CHECKING:
    from ..tasks import Example


def examples(recipe: Recipe, seed: int = 0, most: int | None = None) -> dict[str, list[Example]]:
    """The recipe's data for the embedded model, training split.

    Args:
        recipe: its `data()` says which task families, and how many items of each.
        seed: for drawing the items.
        most: at most so many items of a family.

    Returns:
        Source name -> examples.

    >>> {name: len(found) for name, found in examples(Recipe.read("ming_moe"), most=2).items()}
    {'facts': 2, 'json': 2, 'classify': 2, 'interaction': 2, 'general': 12}
    """
    from ..tasks import every_fact, make
    from ..tasks.steps import with_steps

    found: dict[str, list[Example]] = {}
    for source, parts in recipe.data("nano").items():
        found[source] = []
        for family, amount in parts.items():
            if family == FACTS:
                found[source] += every_fact(amount, "taught")[:most]
                continue
            number = amount if most is None else min(amount, most)
            if family == STEPS:  # other items than those of the plain family
                items = make("classify", "train", number, seed + 1)
                found[source] += [with_steps(item) for item in items]
            else:
                found[source] += make(family, "train", number, seed)
    return found


def prepare(
    recipe: Recipe,
    model: Any,
    stage: Stage,
    base: str = "nano",
    seed: int = 0,
    skip: Sequence[str] = (),
    say: Callable[[str], None] = print,
    **changes: Any,
) -> Any:
    """Make a model ready for a stage: what comes before it, adapters that it lacks, the head.

    On a base in 4 bits the modules whose adapter is merged become ordinary ones first, because
    packing W + ΔW again would round most of ΔW away. On a base whose layers have other names than
    those of Llama, which recipes use, the adapters get the names of the same places.

    Args:
        recipe: whose stage it is.
        model: a causal language model, or what `prepare` returned for the stage before.
        stage: one of `recipe.stages(base)`.
        base: which column.
        seed: of the adapters' first weights.
        skip: actions of the recipe that are left out, such as "merge_attention".
        say: told in a sentence where this departs from the recipe's letter, and what it cost.
        changes: fields of `MoLoraConfig`, set in every adapter.

    Returns:
        The PeftModel, which is the same object from the second stage on.
    """
    from peft import get_peft_model

    actions = {"drop_noise": _drop_noise, "merge_attention": _merge_attention}
    for action in recipe.before(stage.name, base):
        if action not in skip:
            actions[action](model, say)
    layers = getattr(model.config, "num_hidden_layers", None)
    for adapter in (*stage.frozen, *stage.train):
        if adapter in getattr(model, "peft_config", {}):
            continue
        config = _fitting(recipe.config(base, adapter, layers, **changes), adapter, model, say)
        with seeded(seed, "init", adapter):
            if hasattr(model, "peft_config"):
                model.add_adapter(adapter, config)
            else:
                model = get_peft_model(model, config, adapter_name=adapter)
    head = recipe.head(base)
    if head is not None:
        from ..eci_model import head_of, with_eci

        if head_of(model) is None:
            owner = head.pop("adapter_name", None) or stage.train[0]
            with seeded(seed, "init", "head"):
                model = with_eci(model, adapter_name=owner, **head)
    return model


def run_recipe(
    recipe: Recipe,
    model: Any,
    tokenizer: Any,
    data: Mapping[str, Sequence[Example | dict]] | None = None,
    base: str = "nano",
    seed: int = 0,
    out: Path | str | None = None,
    suites: Mapping[str, Sequence[Example]] | None = None,
    **changes: Any,
) -> tuple[Any, list[History]]:
    """All stages of a recipe, one after the other.

    Args:
        recipe: what to do.
        model: a fresh causal language model.
        tokenizer: its tokenizer.
        data: source name -> examples; by default `examples(recipe, seed)`.
        base: which column.
        seed: of weights, data and order.
        out: folder with a folder for each stage; the same call again goes on from there.
        suites: scored before and after each stage.
        changes: fields of `Stage`, set in each stage, such as `steps=2`.

    Returns:
        The trained PeftModel and the history of each stage.
    """
    data = examples(recipe, seed) if data is None else data
    histories = []
    for stage in recipe.stages(base, **{"seed": seed, **changes}):
        model = prepare(recipe, model, stage, base, seed)
        place = None if out is None else Path(out) / stage.name
        histories.append(run_stage(model, tokenizer, stage, data, place, suites))
    return model, histories


def _fitting(config: Any, adapter: str, model: Any, say: Callable[[str], None]) -> Any:
    """The configuration in the names of the model's own layers."""
    from ..method.modules import translated

    fitting = translated(config, model)
    if fitting != config:
        say(
            f"The layers of {model.config.model_type} have names of their own: adapter {adapter!r} "
            f"gets target_modules={fitting.target_modules}, plain_modules={fitting.plain_modules}."
        )
    return fitting


def _drop_noise(model: Any, say: Callable[[str], None]) -> None:
    from ..method.drop import drop_noise

    drop_noise(model)


def _merge_attention(model: Any, say: Callable[[str], None]) -> None:
    from ..method.attention import merge_attention

    told = merge_attention(model, dequantize=True)  # of a base in 4 bits, only these modules
    if told.dequantized:
        say(f"Before the next stage the attention was merged into a base in 4 bits: {told}.")
