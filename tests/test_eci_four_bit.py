"""The head over a base in four bits: it reads, learns, is saved and loaded again."""

import pytest
import torch
from layer_tiny import tiny_base
from peft import PeftModel, prepare_model_for_kbit_training
from test_eci_model import attached, batch, close, eci
from test_method_four_bit import FOUR, quantised

from medmoe_lite.eci_model import head_of, load_eci


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("base")
    tiny_base().save_pretrained(path)
    return path


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*use_reentrant.*:UserWarning")
@pytest.mark.parametrize("kind", ["lora", "shared"])
def test_over_four_bits_it_learns_does_not_leak_and_comes_back(kind, folder, tmp_path):
    base = prepare_model_for_kbit_training(quantised(folder, FOUR))
    model = attached(kind, base, weight=0.5)
    assert head_of(model).out.weight.dtype == torch.float32
    expected = eci(model, **batch())
    close(eci(model, **batch("left", 2, answers=((11, 12), (13, 14, 15)))), expected)
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-2)
    losses = []
    model.train()
    for _ in range(8):
        loss = model(**batch(), class_labels=["maybe", "no"], use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    model.eval().save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(quantised(folder, FOUR), tmp_path)
    again = load_eci(prepare_model_for_kbit_training(again), tmp_path).eval()
    assert torch.equal(eci(again, **batch()), eci(model, **batch()))
