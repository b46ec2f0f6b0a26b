"""The shipped nano base: complete, undamaged, small, and as able as its card says."""

from __future__ import annotations

import json

import pytest
import torch

from medmoe_lite import load_base
from medmoe_lite.bases.checksums import damaged
from medmoe_lite.bases.nano import family_scores, general_mean, ship
from medmoe_lite.bases.pretrain import read_config
from medmoe_lite.measure import likelihood_choice, score
from medmoe_lite.paths import data_dir
from medmoe_lite.tasks import encode_prompt, every_fact, families, make
from medmoe_lite.tasks.names import all_names

BASES = ["nano", "nano/seed1"]


@pytest.fixture(scope="module", params=BASES)
def base(request):
    return load_base(request.param)


def folder_of(name):
    return data_dir() / name


@pytest.mark.parametrize("name", BASES)
def test_the_folder_is_whole_small_and_safe(name):
    folder = folder_of(name)
    assert damaged(folder) == []
    own = [path for path in folder.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in own) < 12e6
    assert not [path for path in own if path.suffix in (".bin", ".pt", ".pkl", ".pth")]
    assert not (folder / "model.safetensors").stat().st_mode & 0o111


@pytest.mark.parametrize("name", BASES)
def test_the_card_belongs_to_the_settings_in_the_repository(name):
    card = json.loads((folder_of(name) / "card.json").read_text(encoding="utf-8"))
    assert card["config"] == read_config()
    assert card["main_steps"] == read_config()["main"]["steps"]
    assert set(card["test_exact_match"]) == set(read_config()["mix"])


@pytest.mark.parametrize("name", BASES)
def test_the_card_reaches_the_targets_of_the_families_kept(name):
    card = json.loads((folder_of(name) / "card.json").read_text(encoding="utf-8"))
    told = card["test_exact_match"]
    kept = [told[n]["exact"] for n in told if families()[n].group == "general"]
    assert len(kept) == 10
    assert sum(kept) / len(kept) == pytest.approx(card["general_mean"], abs=1e-3)
    assert card["general_mean"] >= 0.97
    assert min(kept) >= 0.90


def test_sizes_are_multiples_of_64(base):
    model, tokenizer = base
    sizes = (model.config.hidden_size, model.config.intermediate_size)
    assert all(size % 64 == 0 for size in sizes)
    assert type(model).__name__ == "Qwen2ForCausalLM"
    assert model.config.vocab_size == len(tokenizer)
    assert all(len(tokenizer.encode(name)) == 2 for name in all_names()[:50])


def test_every_general_family_is_mastered(base):
    scores = family_scores(*base, n=60)
    general = [name for name in scores if families()[name].group == "general"]
    # Sixty items (20 of `words`) leave an error of about 0.03; the card has 300.
    assert general_mean(scores) >= 0.95
    assert min(scores[name].exact for name in general) >= 0.80
    assert scores["knowledge"].exact >= 0.90


def test_the_card_tells_scores_that_can_be_had_again():
    card = json.loads((folder_of("nano") / "card.json").read_text(encoding="utf-8"))
    told = card["test_exact_match"]["lookup"]
    again = score(*load_base("nano"), {"lookup": make("lookup", "test", told["n"], 11)})
    assert again["lookup"].exact == pytest.approx(told["exact"], abs=1e-4)


def test_new_facts_are_unknown_to_the_base(base):
    items = every_fact("invented", "heldout")[::4]
    assert score(*base, {"new": items})["new"].exact < 0.25
    assert 0.15 < likelihood_choice(*base, items).exact < 0.55  # chance is one third


def test_generate_of_transformers_stops_and_agrees(base):
    model, tokenizer = base
    for example in make("lookup", "test", 8):
        ids = torch.tensor([encode_prompt(example, tokenizer)])
        said = model.generate(ids, attention_mask=torch.ones_like(ids))[0, ids.shape[1] :]
        text = tokenizer.decode(said, skip_special_tokens=True)
        assert text == score(model, tokenizer, {"one": [example]})["one"].answers[0]
        assert said[-1] in model.generation_config.eos_token_id


def test_an_unfinished_run_is_not_shipped(tmp_path):
    class Unfinished:
        done = False
        out = tmp_path
        state = {"phase": "main", "step": 3}

    with pytest.raises(ValueError, match="goes on from there"):
        ship(Unfinished(), tmp_path)
