"""Pre-training of the nano base: packing is exact, runs are reproducible and resume bit-equal."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from medmoe_lite.bases.corpus import Corpus, pack
from medmoe_lite.bases.pretrain import Run, answer_loss, new_model, pretrain, read_config
from medmoe_lite.bases.vocab import build_tokenizer
from medmoe_lite.tasks import encode, make
from medmoe_lite.tasks.record import split_of


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


@pytest.fixture
def config():
    """The shipped settings, made small."""
    small = copy.deepcopy(read_config())
    small["model"].update(hidden_size=64, intermediate_size=64, num_hidden_layers=1)
    small["recall"].update(until=-1.0, sequences=4)  # "solved" after the 20 batches it needs
    small["main"].update(steps=6, examples=6)
    small["polish"].update(steps=3, examples=6)
    return small


def test_packed_rows_give_the_loss_of_single_items(config, tokenizer):
    model = new_model(config, len(tokenizer), tokenizer, seed=0).double().eval()
    items = [encode(e, tokenizer) for name in ("read", "facts", "copy") for e in make(name, n=4)]
    loss, _ = answer_loss(model, pack(items, 128, tokenizer.pad_token_id))
    total = weight = 0.0
    for item in items:
        logits = model(input_ids=torch.tensor([item["input_ids"]])).logits[0]
        wanted = [(i, t) for i, t in enumerate(item["labels"]) if t != -100]
        share = len(wanted) ** -0.5
        for i, token in wanted:
            total -= share * logits[i - 1].log_softmax(-1)[token].item()
            weight += share
    # The weights of a batch are kept in float32, all else is double.
    assert float(loss) == pytest.approx(total / weight, rel=1e-6)


def test_the_corpus_is_reproducible_and_uses_the_training_split_only(config, tokenizer):
    one, two = (Corpus(config, tokenizer, seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.step(5), two.step(5), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(one.recall(5), two.recall(5), strict=True))
    assert not torch.equal(one.recall(5).input_ids, one.recall(6).input_ids)
    assert {split_of(e) for step in range(20) for e in one.examples(step)} == {"train"}


def test_recall_rows_ask_for_values_that_were_told(config, tokenizer):
    batch = Corpus(config, tokenizer, seed=0).recall(0)
    for row, labels in zip(batch.input_ids.tolist(), batch.labels.tolist(), strict=True):
        for i, label in enumerate(labels):
            if label != -100:
                told = [j for j in range(0, i - 1, 2) if row[j] == row[i - 1]]
                assert any(row[j + 1] == label for j in told)


def test_copying_walks_through_the_whole_vocabulary(config, tokenizer):
    corpus = Corpus(config, tokenizer, seed=0)
    words = {w for w in tokenizer.get_vocab() if w.isalnum() and not w.isdigit()}
    assert set(corpus.vocabulary) == words


def test_a_stopped_run_goes_on_bit_equal(config, tmp_path):
    whole = pretrain(tmp_path / "whole", seed=1, config=config)
    first = Run(tmp_path / "parts", 1, config)
    for _ in range(23):  # into the main phase
        first.step()
    first.save()
    second = pretrain(tmp_path / "parts", seed=1, config=config)
    assert whole.done
    assert second.done
    for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)
    log = [json.loads(line) for line in (tmp_path / "whole/log.jsonl").read_text().splitlines()]
    assert (log[-1]["phase"], log[-1]["step"]) == ("polish", 3)
    assert not list((tmp_path / "whole").glob("*.part"))


def test_another_run_in_the_folder_is_refused(config, tmp_path):
    Run(tmp_path, 0, config).save()
    with pytest.raises(ValueError, match="another --out"):
        Run(tmp_path, 1, config)


def test_an_unsolved_recall_stops_with_advice(config, tmp_path):
    config["recall"].update(until=1.1, max_steps=21)
    with pytest.raises(RuntimeError, match="embedding_std"):
        pretrain(tmp_path, 0, config)
