"""Write an adapter as a stock PEFT LoRA: two files that load without this package.

    adapter_config.json          peft_type LORA; ranks and scales by module where they differ
    adapter_model.safetensors    base_model.model.<module>.lora_A.weight, .lora_B.weight

It is exact where every gate is constant (factors.py). PEFT computes with lora_alpha / r, so a
module of rank R and scale s is written with r = R and lora_alpha = s R; the most common pair is
the file's default, and `rank_pattern` and `alpha_pattern` name the modules that differ.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.utils import ModulesToSaveWrapper
from safetensors.torch import save_file
from torch import nn

from .factors import Factors, constant_factors

PREFIX = "base_model.model."


def to_lora(
    model: nn.Module,
    folder: str | Path,
    adapter: str | Sequence[str] = "default",
    task: int | None = None,
) -> Path:
    """Write an adapter as a stock PEFT LoRA that computes the same; the model stays as it is.

    A classification head (`with_eci`) is no LoRA and is left out.

    Args:
        model: a PEFT model with MoLoRA adapters whose gates do not depend on the input: no routed
            experts, or only ones that a task gate opens.
        folder: where the two files go; made if it does not exist.
        adapter: its name, or several names whose updates are added up (knowledge and alignment).
        task: the task to which a task gate is fixed.

    Returns:
        The folder. `PeftModel.from_pretrained(base, folder)` loads it.

    Raises:
        ValueError: a gate depends on the input (with what to do instead), or no such adapter.

    Source: LoRA (arXiv 2106.09685), in the file format of PEFT.

    >>> import tempfile; from peft import PeftModel, get_peft_model
    >>> from medmoe_lite import MoLoraConfig
    >>> config = MoLoraConfig(num_experts=0, shared_experts=1, target_modules=["0"], task_type=None)
    >>> folder = to_lora(get_peft_model(nn.Sequential(nn.Linear(4, 4)), config), tempfile.mkdtemp())
    >>> PeftModel.from_pretrained(nn.Sequential(nn.Linear(4, 4)), folder).peft_config["default"].r
    16
    """
    names = [adapter] if isinstance(adapter, str) else list(adapter)
    found: dict[str, list[Factors]] = defaultdict(list)
    for name in names:
        for module, factors in constant_factors(model, name, task).items():
            found[module].append(factors)
    summed = {module: side_by_side(factors) for module, factors in found.items()}
    return write_lora(model, folder, summed, names)


def side_by_side(many: Sequence[Factors]) -> Factors:
    """The sum of several updates of one module, as one.

    >>> one = Factors(torch.ones(1, 2), torch.ones(2, 1), 2.0)
    >>> side_by_side([one, one._replace(scale=1.0)]).matrix().tolist()
    [[3.0, 3.0], [3.0, 3.0]]
    """
    if len(many) == 1:
        return many[0]
    scale = many[0].scale
    A = torch.cat([factors.A for factors in many])
    B = torch.cat([factors.B * (factors.scale / scale) for factors in many], dim=1)
    return Factors(A, B, scale)


def write_lora(
    model: nn.Module, folder: str | Path, factors: dict[str, Factors], adapters: Sequence[str]
) -> Path:
    """Write factors by module as a stock PEFT LoRA.

    Args:
        model: the model they belong to; its base, task type and whole saved modules are noted.
        folder: where the two files go.
        factors: module name in the base model -> factors; modules of rank 0 are left out.
        adapters: names of the adapters that they came from.

    Returns:
        The folder.

    Raises:
        ValueError: nothing to write.
    """
    factors = {name: pair for name, pair in factors.items() if pair.rank}
    if not factors:
        raise ValueError("every expert is closed, so there is no update to write")
    config: Any = getattr(model, "peft_config", {}).get(adapters[0])
    whole = whole_modules(model, adapters)
    ranks, rank_pattern = patterns({name: pair.rank for name, pair in factors.items()})
    alphas, alpha_pattern = patterns({n: pair.scale * pair.rank for n, pair in factors.items()})
    lora = LoraConfig(
        r=int(ranks),
        lora_alpha=alphas,  # type: ignore[arg-type]
        rank_pattern={name: int(rank) for name, rank in rank_pattern.items()},
        alpha_pattern=alpha_pattern,
        lora_dropout=getattr(config, "lora_dropout", 0.0),
        target_modules=short_names(model, factors),
        modules_to_save=sorted({name.rpartition(".")[2] for name in whole}) or None,
        task_type=getattr(config, "task_type", None),
        base_model_name_or_path=base_name(model, config),
        inference_mode=True,
    )
    tensors = {
        f"{PREFIX}{name}.{key}.weight": tensor.detach().cpu().contiguous()
        for name, pair in factors.items()
        for key, tensor in (("lora_A", pair.A), ("lora_B", pair.B))
    }
    for name, module in whole.items():
        for key, tensor in module.state_dict().items():
            tensors[f"{PREFIX}{name}.{key}"] = tensor.detach().cpu().contiguous().clone()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    fields = {k: sorted(v) if isinstance(v, set) else v for k, v in lora.to_dict().items()}
    text = json.dumps(fields, indent=2, sort_keys=True) + "\n"
    (folder / "adapter_config.json").write_text(text, encoding="utf-8")
    return folder


def patterns(values: dict[str, float]) -> tuple[float, dict[str, float]]:
    """The most common value, and the modules that differ: by last name where that is enough.

    >>> patterns({"0.up": 4, "0.down": 8, "1.up": 4, "1.down": 8, "2.up": 4})
    (4, {'down': 8})
    >>> patterns({"0.up": 4, "1.up": 4, "2.up": 2})
    (4, {'2.up': 2})
    """
    common = Counter(values.values()).most_common(1)[0][0]
    differ = {}
    for last, names in _by_last_name(values).items():
        inside = {values[name] for name in names}
        if len(inside) == 1 and inside != {common}:
            differ[last] = inside.pop()
        else:
            differ.update({name: values[name] for name in names if values[name] != common})
    return common, differ


def short_names(model: nn.Module, chosen: Iterable[str]) -> list[str]:
    """Names for `target_modules`: the last ones where they pick no other module, else full ones."""
    everything = {
        name.removeprefix(PREFIX) for name, _ in model.named_modules() if ".molora_" not in name
    }
    count = Counter(name.rpartition(".")[2] for name in everything)
    targets: list[str] = []
    for last, names in _by_last_name(chosen).items():
        targets += [last] if count[last] == len(names) else names
    return sorted(targets)


def _by_last_name(names: Iterable[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[name.rpartition(".")[2]].append(name)
    return groups


def whole_modules(model: nn.Module, adapters: Sequence[str]) -> dict[str, nn.Module]:
    """Modules that the first adapter trained and saved whole (`modules_to_save`), by name."""
    return {
        name.removeprefix(PREFIX): module.modules_to_save[adapters[0]]
        for name, module in model.named_modules()
        if isinstance(module, ModulesToSaveWrapper) and adapters[0] in module.modules_to_save
    }


def base_name(model: Any, config: Any) -> str | None:
    """Folder or hub name of the base that the adapter belongs to, if it has one."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    named = getattr(config, "base_model_name_or_path", None)
    return named or getattr(base, "name_or_path", None) or None
