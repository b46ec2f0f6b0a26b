"""Record notebook 02: what rounding to 2 to 8 bits in blocks of 32 to 4096 costs, on both bases."""

from pathlib import Path
from typing import Any

from medmoe_lite import nf4
from medmoe_lite.lab.nb02 import exam, grid
from medmoe_lite.lab.record import keep_recording

EACH = 5  # items a family


def main(seeds: int, steps: int | None, out: Path) -> None:
    """Write `02_bits.json`. Nothing here is random, so `seeds` and `steps` are not used."""
    from medmoe_lite import load_base

    bases = {name: load_base(name) for name in ("nano", "nano/seed1")}
    items = exam.items(EACH)
    before = {
        name: exam.sit(loaded[0], loaded[1], items).answered for name, loaded in bases.items()
    }
    settings: dict[str, Any] = {"items": len(items), "answered": before, "scales": "32 bits"}
    settings["command"] = "python -m medmoe_lite.lab.record 02"
    todo = [
        {"kind": kind, "bits": bits, "block": block, "base": base}
        for base in bases
        for kind in grid.KINDS
        for bits in grid.BITS
        for block in grid.BLOCKS
    ]
    keep_recording(out / "02_bits.json", settings, todo, lambda names: run(bases, items, names))


def run(bases: Any, items: Any, names: dict[str, Any]) -> dict[str, float]:
    """Round one base in one way and ask it."""
    model, tokenizer = bases[names["base"]]
    code, block = grid.KINDS[names["kind"]](names["bits"]), names["block"]

    def change(weight: Any) -> Any:
        return nf4.dequantise(*nf4.quantise(weight, code, block), code, weight.shape, block)

    changed = exam.rounded(model, change)
    error = exam.relative_error(exam.all_weights(changed), exam.all_weights(model))
    found = exam.sit(changed, tokenizer, items)
    return {"error": error, "loss": round(found.loss, 4), "answered": round(found.answered, 4)}
