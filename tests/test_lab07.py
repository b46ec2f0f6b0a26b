"""What notebook 07 leans on: answer key = package, two stages, sick runs, recording, sentences."""

import copy
import json

import numpy as np
import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from medmoe_lite import MoLoraConfig, load_base, orthogonal_penalty
from medmoe_lite.lab import nb07
from medmoe_lite.lab.nb07 import record, reference
from medmoe_lite.lab.nb07.check_stage import learning, two_adapters
from medmoe_lite.lab.nb07.quiz import QUIZ
from medmoe_lite.penalties import project_rows
from medmoe_lite.reproduce.settings import lora
from medmoe_lite.train.adapters import open_adapters


@pytest.fixture(scope="module")
def tokenizer():
    return load_base("nano")[1]


@pytest.fixture(scope="module")
def known(tokenizer):
    """A tiny model with one adapter that has learnt something."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    model = get_peft_model(Qwen2ForCausalLM(config), MoLoraConfig(**lora(16)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".B"):
                parameter.normal_(std=0.1)
    return model.eval()


def test_the_answer_key_is_the_package(known):
    two = reference.open_stage_two(nb07.second.add_second(known))
    pairs = nb07.second.pairs_of(two)
    assert len(pairs) == 7
    for kind, own in (("l1", reference.overlap_l1), ("cosine", reference.overlap_cosine)):
        torch.testing.assert_close(own(pairs), orthogonal_penalty(two, kind=kind))
    a, q = torch.randn(3, 9), torch.linalg.qr(torch.randn(9, 4)).Q
    torch.testing.assert_close(reference.take_out(a, q), project_rows(a, q))


def test_angles_are_those_of_the_projectors():
    """cos² are the eigenvalues of P_K P_a, with projectors from the normal equations."""
    a_k, a_a = torch.randn(2, 3, 11, dtype=torch.double)
    P = [a.T @ torch.linalg.inv(a @ a.T) @ a for a in (a_k, a_a)]
    squares = torch.linalg.eigvals(P[0] @ P[1]).real.sort(descending=True).values[:3]
    want = squares.clamp(0, 1).sqrt().acos().rad2deg()
    torch.testing.assert_close(reference.principal_angles(a_k, a_a), want)


@pytest.mark.parametrize("learn", [False, True])
def test_the_second_stage_is_opened_as_training_opens_it(learn):
    mine = reference.open_stage_two(two_adapters(), learn)
    package = two_adapters()
    names = ("alignment", "default")
    open_adapters(package, names if learn else names[:1], () if learn else names[1:])
    assert learning(mine) == learning(package)
    x = torch.randn(3, 6)
    torch.testing.assert_close(mine(x), package(x))


def batches(tokenizer, steps=6):
    return nb07.second.format_batches(tokenizer, steps, 6)


def test_alignment_moves_the_second_adapter_alone_and_the_penalty_works(known, tokenizer):
    start = reference.open_stage_two(nb07.second.add_second(known))
    first = reference.overlap_l1(nb07.second.pairs_of(start)).item()
    model = copy.deepcopy(start)
    penalty = lambda m: reference.overlap_l1(nb07.second.pairs_of(m))  # noqa: E731
    nb07.second.align(model, batches(tokenizer), penalty, weight=0.05, picture=False)
    assert penalty(model).item() < 0.9 * first
    moved = {
        name.split(".")[-2]
        for (name, p), old in zip(model.named_parameters(), start.parameters(), strict=True)
        if not torch.equal(p, old)
    }
    assert moved == {"alignment"}


def test_what_is_taken_out_is_not_read(known, tokenizer):
    q = nb07.second.fact_directions(known, tokenizer, energy=1.0)
    model = reference.open_stage_two(nb07.second.add_second(known))
    pairs = nb07.second.pairs_of(model)
    for name, parameter in model.named_parameters():
        if name.endswith("alignment.B"):
            nn.init.normal_(parameter)
    ids = tokenizer("The class of", return_tensors="pt").input_ids
    with torch.no_grad():
        for (_, a), rows in zip(pairs, q, strict=True):
            assert rows.shape[0] == a.shape[1]
            a.copy_(reference.take_out(a, rows))
        assert max(float((a @ rows).abs().max()) for (_, a), rows in zip(pairs, q, strict=True)) < (
            1e-4
        )
        assert model(ids).logits.isfinite().all()


@pytest.mark.parametrize("run", ["healthy", *nb07.failure.SICK])
def test_each_sick_run_shows_its_own_mark(known, tokenizer, run):
    read = nb07.failure.examine(known, tokenizer, run, batches(tokenizer))
    causes, cause = nb07.failure.CAUSES, nb07.failure.SICK.get(run)
    falls = cause not in causes[:2]
    assert (read.overlap[-1] < 0.9 * read.overlap[0]) == falls
    assert (read.term[0] == 0) == (cause == causes[1])
    assert (read.term[0] > 100) == (cause == causes[2])
    assert len(read.fact_loss) == 2


def test_numbers_of_the_quiz_are_computed():
    [asked] = [question for question in QUIZ if question.number is not None]
    u = torch.randn(1, 2048, dtype=torch.double)
    mean = reference.overlap_cosine([(u, torch.eye(2048, dtype=torch.double))])
    assert asked.number == pytest.approx(float(mean))
    [right] = [choice for choice in asked.choices if choice.right]
    assert right.text.startswith("1 / 2048")


def test_adam_leaves_the_subspace_and_plain_steps_do_not():
    torch.manual_seed(0)
    q = torch.linalg.qr(torch.randn(8, 2)).Q
    left = {}
    for kind in (torch.optim.SGD, torch.optim.Adam):
        a = nn.Parameter(reference.take_out(torch.randn(3, 8), q))
        optimizer = kind([a], lr=0.1)
        a.grad = reference.take_out(torch.randn(3, 8), q)
        optimizer.step()
        left[kind.__name__] = float((a.detach() @ q).abs().max())
    assert left["SGD"] < 1e-6 < 1e-3 < left["Adam"]


def test_one_arm_of_the_recording_on_a_tiny_size(tmp_path):
    bench = record.Bench(0, 2, tmp_path, size="smoke")
    bench.data["facts"] = bench.data["facts"][:12]
    found = bench.run("off the fact inputs")
    assert found["steps"] == [0, 1, 2]
    assert len(found["heldout"]) == len(found["overlap"]) == 3
    assert found["reads"] < 1e-4 < found["chance"] < 1
    assert {len(row) for row in found["angles"].values()} == {16}
    kept = tmp_path / "work" / "knowledge" / "seed0.safetensors"
    before = kept.stat().st_mtime_ns
    bench.start()
    assert kept.stat().st_mtime_ns == before  # learnt once a seed


def test_recording_goes_on_where_it_stopped(tmp_path, monkeypatch):
    done = []

    class Bench:
        def __init__(self, seed, steps, folder, base):
            self.seed = seed

        def run(self, arm):
            done.append((self.seed, arm))
            if len(done) == 3:
                raise KeyboardInterrupt
            return {"steps": [0]}

    monkeypatch.setattr(record, "Bench", Bench)
    file = tmp_path / "07_curves.json"
    with pytest.raises(KeyboardInterrupt):
        record.record(range(2), ("frozen", "both learn"), 4, file)
    record.record(range(2), ("frozen", "both learn"), 4, file)
    assert len(json.loads(file.read_text())["runs"]) == 4
    assert done.count((0, "frozen")) == 1


def run_of(arm, seed, end):
    line = [0.9, end + 0.01 * seed]
    rows = dict.fromkeys(("heldout", "formats", "general", "overlap"), line)
    angles = {"up_proj": list(np.linspace(40, 89, 16)), "down_proj": [80.0] * 16}
    shares = {"reads": 0.3, "reads_knowledge": 0.4, "chance": 0.35}
    return {"arm": arm, "seed": seed, "steps": [0, 10], **rows, "angles": angles, **shares}


ENDS = {"both learn": 0.3, "frozen": 0.6, "l1 0.01": 0.6, "off the fact inputs": 0.8}


@pytest.fixture
def runs():
    return [run_of(arm, seed, end) for seed in (1, 0, 2) for arm, end in ENDS.items()]


def test_sentences_are_written_from_the_numbers(runs):
    curves = nb07.curves
    assert curves.curve(runs, "frozen", "heldout")[:, -1].tolist() == [0.6, 0.61, 0.62]
    assert curves.gap(runs, "off the fact inputs", "frozen", "heldout")[0] == pytest.approx(0.2)
    assert curves.told_gap(runs, "both learn", "frozen").endswith("less")
    assert curves.told_gap(runs, "off the fact inputs", "frozen").endswith("more")
    assert curves.told_gap(runs, "l1 0.01", "frozen").endswith("no difference can be told")
    assert "68%" in curves.settled_frozen(runs)
    assert any(line.startswith("random rows") for line in curves.reading(runs))
    with pytest.raises(KeyError, match="no runs of"):
        curves.of(runs, "other")


def test_a_recording_of_ones_own_can_be_named(runs, tmp_path, monkeypatch):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"runs": runs}))
    monkeypatch.setenv("MEDMOE_CURVES", str(file))
    assert nb07.curves.load() == runs


def test_pictures_say_in_words_what_they_show(runs, capsys):
    import matplotlib.pyplot as plt

    drawn = [
        nb07.plots.stages(),
        nb07.plots.forgetting(runs, "0.01", ("frozen", "both learn")),
        nb07.plots.tradeoff(runs),
        nb07.plots.kept({"before": {"facts": 0.5}}, "Kept"),
    ]
    texts = [text for _, text in drawn]
    assert "frozen, lambda 0: facts 0.61" in texts[1]
    assert "facts ≈0.50" in texts[3]
    with pytest.raises(ValueError, match="not recorded"):
        nb07.plots.forgetting(runs, "0.001")
    nb07.explore.lambda_explorer(runs)
    nb07.explore.angle_explorer(runs)
    said = capsys.readouterr().out
    assert "Recorded, 3 seeds" in said
    assert "from 40 to 89 degrees" in said
    plt.close("all")


def test_random_spaces_are_nearly_at_right_angles():
    few, many = nb07.explore.random_angles(32), nb07.explore.random_angles(384)
    assert few[0] < many[0] < many[-1] < 90
