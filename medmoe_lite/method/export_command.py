"""`medmoe export`: a trained run in a form that needs nothing of this package.

    --to lora      adapter_config.json, adapter_model.safetensors    stock PEFT
    --to merged    a whole model in 16 bits, with its tokenizer       transformers, vLLM
    --to eci       the stock adapter, and the classification head beside it

Exact where every gate is constant; a mixture that routes by token is refused with advice, or with
`--approximate` merged by its mean routing, and the error is measured. What was written is loaded
again without this package's layers and compared with the trained model on a few prompts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

PROMPTS = ("What does a fever show?", "Name the use for aspirin.", "Patient has a cough.")
SIXTEEN = ("bfloat16", "float16")


def parser() -> argparse.ArgumentParser:
    """The options."""
    top = argparse.ArgumentParser(prog="medmoe export", description=__doc__.split("\n\n")[0])
    add = top.add_argument
    add("place", type=Path, help="a run's folder, or an adapter's folder")
    add("--to", choices=("lora", "merged", "eci"), required=True)
    add("--out", type=Path, required=True, help="a new folder")
    add("--base", help="name of the base, where the folder does not say it or it lies elsewhere")
    add("--dtype", choices=SIXTEEN, help="of a merged model (default: the base's, else bfloat16)")
    add("--task", type=int, help="the task to which a task gate is fixed")
    add("--approximate", action="store_true", help="merge routed experts by their mean routing")
    add("--data", action="append", default=[], metavar="NAME=READER:PATH[:SPLIT]",
        help="with --approximate: prompts whose mean routing is taken")  # fmt: skip
    add("--rank", type=int, help="with --approximate: the most columns a module may have")
    add("--device", help="cpu, cuda, mps (default: a GPU where there is one)")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 done, 1 failed, 2 refused."""
    options = parser().parse_args(arguments)
    from ..train.trouble import in_words

    try:
        return run(options)
    except Exception as error:
        found = in_words(error, options.out)
        if found is None:
            raise
        print(f"medmoe export: {found[1]}", file=sys.stderr)
        return found[0]


def run(options: argparse.Namespace) -> int:
    """Write beside the folder, compare, then move into place."""
    from ..train.checkpoint import replace_folder
    from ..train.result import load_result

    if options.out.exists() and any(options.out.iterdir()):
        raise ValueError(f"{options.out} is not empty: give a new folder for --out.")
    model, tokenizer, about = load_result(options.place, options.base, device=options.device)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    replace_folder(options.out, partial(write, model, tokenizer, about, options))
    print(f"written: {options.out}")
    return 0


def write(
    model: Any, tokenizer: Any, about: dict[str, Any], options: argparse.Namespace, folder: Path
) -> None:
    """Write one form into a folder, with `export.json` that says what it is."""
    from ..bases import load_base
    from ..eci_forward import head_of
    from ..train.files import write_json

    head = head_of(model)
    if options.to == "eci" and head is None:
        raise ValueError(f"{options.place} has no classification head: type --to lora.")
    if options.to != "eci" and head is not None:
        print("the classification head is left out; --to eci writes it beside the adapter")
    expected = logits(model, tokenizer, options.task)
    place = folder / "lora" if options.to == "merged" else folder
    write_stock(model, tokenizer, about["adapters"], place, options)
    base = load_base(about["base"], dtype="float32", device=options.device)[0]
    if options.to == "merged":
        changed = write_merged(base, tokenizer, place, folder, options.dtype or dtype_of(model))
    else:
        changed = stock(base, place)
    if options.to == "eci" and head is not None:
        from ..eci_files import write_head

        write_head(head, folder)
    found = logits(changed, tokenizer)
    gap = float((found - expected).norm() / expected.norm())
    same = float((found.argmax(-1) == expected.argmax(-1)).float().mean())
    content = {
        "from": str(options.place), "to": options.to, "base": about["base"],
        "adapters": about["adapters"], "approximate": options.approximate,
        "logits_off_by": gap, "same_next_token": same,
    }  # fmt: skip
    write_json(folder / "export.json", content)
    print(
        f"loaded again: logits differ by {gap:.2g} of their size, the next token is the same at "
        f"{same:.1%} of the places"
    )


def write_stock(
    model: Any, tokenizer: Any, adapters: list[str], folder: Path, options: argparse.Namespace
) -> None:
    """A stock LoRA of all adapters together."""
    from .export import to_lora
    from .merge import soft_merge

    routed = [name for name in adapters if getattr(model.peft_config[name], "has_routed", False)]
    if not hasattr(model.base_model, "prefix") or model.base_model.prefix != "molora_":
        raise ValueError(f"{options.place} is a stock adapter already: copy its folder.")
    if not (options.approximate and routed):
        try:
            to_lora(model, folder, adapters, options.task)
        except ValueError as error:
            hint = " From the command line the approximation is --approximate." if routed else ""
            raise ValueError(f"{error}.{hint}") from error
        return
    if len(adapters) > 1:
        raise ValueError(
            f"adapters {adapters} cannot be approximated together: drop the noise aggregator "
            "first, then the export is exact."
        )
    soft_merge(
        model, prompts(tokenizer, model, texts_of(options)), folder, options.rank, adapters[0]
    )


def write_merged(base: Any, tokenizer: Any, lora: Path, folder: Path, dtype: str) -> Any:
    """The whole model in 16 bits: summed in float32, rounded once."""
    import shutil

    merged = stock(base, lora).merge_and_unload().to(getattr(torch, dtype))
    shutil.rmtree(lora)
    merged.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return merged


def stock(base: Any, folder: Path) -> Any:
    """A base with a stock adapter, loaded by PEFT alone."""
    from peft import PeftModel

    return PeftModel.from_pretrained(base, str(folder)).eval()


def dtype_of(model: Any) -> str:
    """The base's own dtype where it has 16 bits, else bfloat16."""
    name = str(getattr(model.config, "dtype", "")).removeprefix("torch.")
    return name if name in SIXTEEN else "bfloat16"


def texts_of(options: argparse.Namespace, most: int = 32) -> list[str]:
    """Prompts for the mean routing: those of `--data`, else a few of our own."""
    from ..train.sources import read_all

    found, _ = read_all(options.data, most)
    return [item.prompt for items in found.values() for item in items] or list(PROMPTS)


def prompts(tokenizer: Any, model: Any, texts: Sequence[str] = PROMPTS) -> dict[str, torch.Tensor]:
    """Prompts as one batch, padded on the right."""
    from ..tasks import Example, collate, encode

    rows = [encode(Example("export", text, ""), tokenizer) for text in texts]
    batch = collate(rows, tokenizer.pad_token_id or 0)
    device = next(model.parameters()).device
    return {name: batch[name].to(device) for name in ("input_ids", "attention_mask")}


@torch.no_grad()
def logits(model: Any, tokenizer: Any, task: int | None = None) -> torch.Tensor:
    """Logits at all real positions of the prompts, in float32 on the CPU."""
    batch = prompts(tokenizer, model)
    extra = {} if task is None else {"task_ids": torch.tensor([task] * len(PROMPTS))}
    found = model(**batch, **extra).logits
    return found[batch["attention_mask"].bool()].float().cpu()
