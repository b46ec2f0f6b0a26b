"""Files as a release writes them, to be read by all later ones: `python tests/upgrade_fixture.py`.

Writes tests/fixtures/VERSION/ once, at a release: an adapter of a tiny base, the logits that it
gives, and a learner's progress file. Weights are multiples of 1/256, so that they are the same on
every machine and in bfloat16.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

import medmoe_lite
from medmoe_lite import MoLoraConfig

FIXTURES = Path(__file__).parent / "fixtures"
IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])


def fill(parameters) -> None:
    """The same numbers on every machine."""
    with torch.no_grad():
        for number, weight in enumerate(parameters):
            count = torch.arange(weight.numel()) * 37 + 11 * number
            weight.copy_(((count % 101 - 50).to(torch.float32) / 256).reshape(weight.shape))


def base():
    """A base of two small layers."""
    config = Qwen2Config(
        vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=32,
        tie_word_embeddings=False,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).eval()
    fill(model.parameters())
    return model


def logits(model) -> list[float]:
    """What the model says at the last token."""
    with torch.no_grad():
        return model(input_ids=IDS).logits[0, -1].double().tolist()


def write(folder: Path) -> None:
    """The files of this version."""
    from peft import get_peft_model

    config = MoLoraConfig(r=2, num_experts=3, top_k=2, shared_experts=1)
    model = get_peft_model(base(), config).eval()
    fill(p for name, p in model.named_parameters() if "molora" in name)
    model.save_pretrained(str(folder / "adapter"))
    (folder / "adapter" / "README.md").unlink(missing_ok=True)
    sections = {
        "exercises": {"1.1": "solved", "3.2": "solved"},
        "predictions": {"3.A": "one expert takes most"},
        "quiz": {"3.Q1": "the router"},
        "track": {"chosen": "laptop"},
    }
    (folder / "progress.json").write_text(json.dumps(sections, indent=1, sort_keys=True))
    (folder / "logits.json").write_text(json.dumps([round(v, 6) for v in logits(model)]))


if __name__ == "__main__":
    place = FIXTURES / medmoe_lite.__version__
    if place.exists():
        sys.exit(f"{place} is there already: files of a release are written once.")
    write(place)
    print(f"wrote {place}")
