"""What a finished run leaves: adapters for the base that everybody has, and how to load them.

    out/adapters/                 PEFT's format: the first adapter
    out/adapters/alignment/       each further one
    out/DONE                      the names of the open adapters

MedCare's second stage trains on a base with the attention merged into it. The adapters written
here do not need that base: the attention's LoRA of the stage before is put beside the experts
again, which computes the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .adapters import open_adapters, trained
from .checkpoint import checkpoints, read_state, replace_folder, save_adapters
from .files import read_json, write_json
from .recipe_run import prepare

if TYPE_CHECKING:
    from .recipe import Recipe
    from .stage import Stage

ADAPTERS, DONE = "adapters", "DONE"
MERGE = "merge_attention"


def merges(recipe: Recipe, column: str, stages: Sequence[Stage]) -> bool:
    """Whether a stage changes the base's own weights."""
    return any(MERGE in recipe.before(stage.name, column) for stage in stages)


def rebuild(model: Any, recipe: Recipe, column: str, stages: Sequence[Stage], out: Path) -> Any:
    """Base and all adapters as they are after the last checkpoint, with nothing merged.

    Args:
        model: the fresh base.
        recipe: settled; its stages' checkpoints lie below `out`.
        column: "nano" or "paper".
        stages: those that have a checkpoint.
        out: the run's folder.

    Raises:
        DamagedCheckpoint: a file is not as it was written.
    """
    for stage in stages:
        model = prepare(recipe, model, stage, column, stage.seed, skip=(MERGE,))
        open_adapters(model, stage.train, stage.frozen)
        newest = checkpoints(out / stage.name)[-1]
        read_state(newest)
        put_back(model, newest)
    return model.eval()


def put_back(model: Any, folder: Path) -> None:
    """Weights of a checkpoint, for all tensors that it has."""
    import torch
    from safetensors.torch import load_file

    tensors = load_file(folder / "state.safetensors")
    with torch.no_grad():
        for name, target in trained(model).items():
            if f"weight/{name}" in tensors:
                target.data.copy_(tensors[f"weight/{name}"])


def write_result(model: Any, out: Path) -> None:
    """Write adapters and the mark of a finished run."""
    names = tuple(model.base_model.active_adapters)
    replace_folder(out / ADAPTERS, partial(save_adapters, model, adapters=names))
    write_json(out / DONE, {"adapters": list(names)})


def is_done(out: Path) -> bool:
    """Whether a run of this folder came to its end."""
    return (out / DONE).is_file()


def load_result(
    place: Path | str,
    base: str | None = None,
    four_bit: bool = False,
    device: str | None = None,
) -> tuple[Any, Any, dict[str, Any]]:
    """A base with the adapters of a run folder, or of one adapter folder.

    Args:
        place: a run's folder, or a folder with adapter_config.json.
        base: name of the base; by default the one that the run card or the adapter names.
        four_bit, device: as in `load_base`.

    Returns:
        Model, tokenizer, and {"base", "adapters", "card"}.

    Raises:
        FileNotFoundError: neither a finished run nor an adapter.
        ValueError: the adapter does not say which base it belongs to.
    """
    from peft import PeftModel

    from ..bases import load_base
    from ..eci_files import has_head
    from ..eci_model import load_eci
    from ..method import register
    from .run_card import read

    place = Path(place)
    card = read(place)
    if (place / "adapter_config.json").is_file():
        folders = {"default": place}
        named = read_json(place / "adapter_config.json").get("base_model_name_or_path")
        card = read(place.parent) or read(place.parent.parent) or {}
    elif is_done(place):
        names = read_json(place / DONE)["adapters"]
        folders = {name: place / ADAPTERS / ("" if name == "default" else name) for name in names}
        named = None
    else:
        what = "holds a run that is not finished: type its command again" if card else "is no run"
        raise FileNotFoundError(
            f"{place} {what}, or give the folder of an adapter (with adapter_config.json)."
        )
    about = (card or {}).get("base", {})
    name = base or about.get("name") or named
    if not name:
        raise ValueError(f"{place} does not say which base it belongs to: give --base.")
    model: Any
    model, tokenizer = load_base(name, four_bit=four_bit, device=device)
    register()  # PEFT must know the method before it reads an adapter of it
    first, *rest = folders
    model = PeftModel.from_pretrained(model, str(folders[first]), adapter_name=first)
    for other in rest:
        model.load_adapter(str(folders[other]), other)
    model.base_model.set_adapter(list(folders))
    for owner, folder in folders.items():
        if has_head(folder):
            model = load_eci(model, folder, owner)
    return model.eval(), tokenizer, {"base": name, "adapters": list(folders), "card": card or {}}
