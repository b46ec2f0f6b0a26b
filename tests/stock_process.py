"""What a machine without this package does with an exported adapter: run as a script of its own.

Usage: python -I stock_process.py FOLDER. It reads FOLDER/cases.json, loads each adapter with
stock PEFT, and writes FOLDER/found.safetensors with the logits.
"""

import copy
import json
import sys
from pathlib import Path


class Blocker:
    """The package is not installed, as far as this process can see."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "medmoe_lite":
            raise ImportError("not on this machine")
        return None


sys.meta_path.insert(0, Blocker())
try:
    import medmoe_lite  # noqa: F401
except ImportError:
    pass
else:
    raise SystemExit("this process can import medmoe_lite, so it proves nothing")

import torch  # noqa: E402
from peft import AutoPeftModelForCausalLM, PeftModel  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import AutoModelForCausalLM, BitsAndBytesConfig  # noqa: E402

torch.set_num_threads(1)
folder = Path(sys.argv[1])
four = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="nf4",
    bnb_4bit_use_double_quant=True,
    bnb_4bit_compute_dtype=torch.float32,
)
KINDS = {
    "float32": {"dtype": torch.float32},
    "bfloat16": {"dtype": torch.bfloat16},
    "four": {"quantization_config": four, "device_map": "cpu", "dtype": torch.float32},
    "eight": {
        "quantization_config": BitsAndBytesConfig(load_in_8bit=True),
        "device_map": "cpu",
        "dtype": torch.float32,
    },
}


def unpacked(model):
    """bitsandbytes would repack 4-bit weights for inference on some processors."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model.eval()


@torch.no_grad()
def main():
    cases = json.loads((folder / "cases.json").read_text())
    ids = torch.tensor(cases.pop("ids"))
    bases = {}
    found = {}
    for name, kind in cases.items():
        place = str(folder / name)
        if kind == "auto":
            model = AutoPeftModelForCausalLM.from_pretrained(place).eval()
        elif kind == "base":
            model = AutoModelForCausalLM.from_pretrained(place).eval()
        else:
            if kind not in bases:
                base = AutoModelForCausalLM.from_pretrained(folder / "base", **KINDS[kind])
                bases[kind] = unpacked(base)
            model = PeftModel.from_pretrained(copy.deepcopy(bases[kind]), place).eval()
        found[name] = model(input_ids=ids).logits.float()
        if kind == "bfloat16":
            found[name + ".wide"] = model.float()(input_ids=ids).logits
    assert "medmoe_lite" not in sys.modules
    save_file(found, folder / "found.safetensors")


main()
