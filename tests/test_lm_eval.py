"""lm-eval, somebody else's program, agrees with our scores item by item on the nano model."""

import json

import pytest

from medmoe_lite.measure.lm_eval.items import example_of, row_of
from medmoe_lite.measure.lm_eval.render import main, write_task
from medmoe_lite.tasks import make

N = 24


def test_items_survive_the_file(tmp_path):
    items = make("soap", "test", 3, 11)
    write_task(tmp_path, "soap", items)
    rows = [json.loads(line) for line in (tmp_path / "soap.jsonl").read_text().splitlines()]
    assert [example_of(row) for row in rows] == items == [example_of(row_of(i)) for i in items]


def test_a_family_that_is_not_there_is_named(tmp_path, capsys):
    assert main([str(tmp_path), "--families", "jsn"]) == 2
    assert "unknown task family 'jsn'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def agreed(tmp_path_factory):
    """Samples of lm-eval, and our scores of the same items with the same model."""
    pytest.importorskip("lm_eval", reason="lm-eval is not installed (extra eval)")
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from medmoe_lite import load_base
    from medmoe_lite.measure import likelihood_choice, score

    folder = tmp_path_factory.mktemp("lm")
    suites = {family: make(family, "test", N, 11) for family in ("read", "choice")}
    names = {family: write_task(folder, family, items) for family, items in suites.items()}
    model, tokenizer = load_base("nano")
    found = simple_evaluate(
        model=HFLM(pretrained=model, tokenizer=tokenizer, device="cpu", batch_size=8),
        tasks=list(names.values()),
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
        random_seed=None,
        numpy_random_seed=None,
        torch_random_seed=None,
    )
    ours = {
        "read": score(model, tokenizer, suites["read"]),
        "choice": likelihood_choice(model, tokenizer, suites["choice"]),
    }
    samples = {
        family: sorted(found["samples"][name], key=lambda sample: sample["doc_id"])
        for family, name in names.items()
    }
    return found["results"], samples, ours


def test_generation_agrees_item_by_item(agreed):
    results, samples, ours = agreed
    theirs = [bool(sample["exact"]) for sample in samples["read"]]
    assert theirs == ours["read"].correct
    assert [s["filtered_resps"][0].strip() for s in samples["read"]] == ours["read"].answers
    assert results["medmoe_read"]["exact,none"] == pytest.approx(ours["read"].exact)
    assert ours["read"].exact > 0


def test_multiple_choice_agrees_item_by_item(agreed):
    results, samples, ours = agreed
    for sample, answer in zip(samples["choice"], ours["choice"].answers, strict=True):
        values = [float(response[0]) for response in sample["filtered_resps"]]
        best = sample["doc"]["options"][values.index(max(values))]
        assert best == f"{answer}<|im_end|>"
    assert [bool(s["acc"]) for s in samples["choice"]] == ours["choice"].correct
    assert results["medmoe_choice"]["acc,none"] == pytest.approx(ours["choice"].exact)
