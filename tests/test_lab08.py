"""What notebook 08 leans on: the bench, the case, three steps, lengths, and the package's head."""

import math
import re

import pytest
import torch
import torch.nn.functional as F

from medmoe_lite.course import build
from medmoe_lite.eci import EciHead
from medmoe_lite.lab import checks, nb08
from medmoe_lite.lab.nb08 import bench, case_plots, evidence, joint, steps
from medmoe_lite.lab.nb08.head import LabelHead, both_losses
from medmoe_lite.lab.nb08.quiz import QUIZ
from medmoe_lite.lab.nb08.typed import TYPED
from medmoe_lite.tasks import make, read_steps, with_steps

SOURCE = build.notebooks_dir() / "source" / "08_eci_and_three_steps.py"
ITEMS = "check-1 check-2 check-3 exp-1 exp-2 fail-1 fail-2 open-1 open-2 next-1 next-2".split()


def new_head(how="mean"):
    return LabelHead(bench.WIDTH, bench.LABELS, how)


def number(key):
    return next(question.number for question in QUIZ if question.key == key)


def test_every_item_of_the_paper_has_a_cell():
    text = SOURCE.read_text(encoding="utf-8")
    named = set(" ".join(re.findall(r'seeds="([^"]*)"', text)).split())
    assert named == {f"LlamaCare.{item}" for item in ITEMS}


def test_numbers_of_the_quiz_are_computed():
    guess = F.cross_entropy(torch.zeros(1, 3), torch.tensor([1])).item()
    assert round(guess, 3) == number("8.q1") == round(math.log(3), 3)
    pairs = [(a, b) for a in range(11) for b in range(11)]
    same = sum(steps.label_of(a) == steps.label_of(b) for a, b in pairs)
    assert same == 41
    assert round((same + (len(pairs) - same) / 2) / len(pairs), 3) == number("8.q5")


def test_the_blind_reader_of_items_is_near_that_number():
    items = make("classify", "train", 400, seed=3)
    assert steps.blind(items) == pytest.approx(number("8.q5"), abs=0.05)
    for item in items[:50]:
        trials, drug = steps.trials_of(item)
        count = next(n for name, n, _ in trials if name == drug)
        assert steps.label_of(count) == item.answer
    with pytest.raises(ValueError, match="no item of 'classify'"):
        steps.trials_of(make("copy", "train", 1)[0])


@pytest.mark.parametrize("how", ["mean", "max", "last"])
def test_the_head_is_that_of_the_package(how):
    torch.manual_seed(0)
    mine, theirs = new_head(how), EciHead(bench.WIDTH, bench.LABELS, how).eval()
    theirs.load_state_dict(mine.state_dict())
    data = bench.texts(9, 0)
    torch.testing.assert_close(
        mine(data.states, data.prompt), theirs(data.states, data.prompt), rtol=0, atol=1e-6
    )


def test_the_joint_loss_is_the_loop():
    logits, classes = torch.randn(2, 4, 5), torch.tensor([2, -100])
    labels = torch.tensor([[-100, -100, 3, 1], [-100, 4, 2, -100]])
    said, log = torch.randn(2, 3), lambda row: row.log_softmax(-1)
    lm = [-log(logits[r, t - 1])[labels[r, t]] for r, t in ((0, 2), (0, 3), (1, 1), (1, 2))]
    want = 0.75 * sum(lm) / 4 - 0.25 * log(said[0])[2]
    torch.testing.assert_close(both_losses(logits, labels, said, classes, 0.25), want)


@pytest.mark.parametrize("where", [*bench.WHERE, bench.NOWHERE])
def test_only_the_answer_differs_before_and_after_it_is_written(where):
    with_answer, before = bench.texts(60, 5, where), bench.texts(60, 5, where, answered=False)
    moved = (with_answer.states != before.states).any(-1)
    assert torch.equal(moved, with_answer.answer.bool())
    assert before.answer.sum() == 0
    assert not (with_answer.prompt * with_answer.answer).any()


def test_an_unknown_place_is_named():
    with pytest.raises(ValueError, match="type one of 'in one token'"):
        bench.texts(3, 0, "at home")


def test_a_leaky_head_is_perfect_where_nothing_can_be_known():
    seen, used = bench.leak(new_head, bench.NOWHERE, answer_too=True)
    assert seen > 0.98
    assert abs(used - 1 / 3) < 0.08
    clean, same = bench.leak(new_head, bench.WHERE[0], answer_too=False)
    assert abs(clean - same) < 1e-6 < clean - used


def test_at_the_ends_of_w_one_task_learns_nothing():
    ends = {w: joint.train(w, new_head, both_losses) for w in (0.0, 1.0)}
    assert ends[0.0].labels < 0.45 < ends[1.0].labels
    assert ends[1.0].words < 0.2 < ends[0.0].words
    table = joint.confusion(ends[1.0], 0.0)
    assert table[:, -1].sum() == 0
    assert table.trace() / table.sum() == pytest.approx(ends[1.0].labels)
    silent = [joint.confusion(ends[1.0], t)[:, -1].sum() for t in (0.4, 0.7, 0.99)]
    assert silent == sorted(silent)


def test_every_reading_shows_its_own_fault():
    read = evidence.examine(new_head)
    assert set(read) == set(evidence.CASE) <= {*"ABCDEF"}
    width = lambda values: max(values) - min(values)  # noqa: E731
    assert width(read["A"].published) < 0.1 * width(read["A"].mended)
    assert sum(v > 0 for v in read["B"].published) == 11  # all but the last predict something
    assert [t for t, v in enumerate(read["B"].mended) if v > 0] == [5, 6, 7, 8]
    assert evidence.flips(read["C"].mended) == 0
    spread = torch.tensor(read["C"].published).std(0).max()
    assert spread > 0.1
    windows = torch.tensor(read["D"].published).reshape(8, 4, 8).sum(-1)
    assert (windows == 1).all()
    assert read["E"].published[0] - read["E"].published[1] > 0.2
    assert abs(read["E"].mended[0] - read["E"].mended[1]) < 1e-6
    assert min(read["F"].published) > -1 > min(read["F"].mended)
    for figure, text in (case_plots.first(read), case_plots.second(read)):
        assert "published" in text
        close(figure)


def close(figure):
    import matplotlib.pyplot as plt

    plt.close(figure)


TEXTS = [
    "Recall: a. Summarise: b. Decide: The answer is maybe.",
    "Recall: a. Summarise: b. Decide: The answer is unknown.",
    "Recall: a. Summarise: b.",
    "Decide: The answer is no. Recall: a. Summarise: b.",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_strict_reader_agrees_with_the_tolerant_one(text):
    assert steps.read_label(text, bench.LABELS) == read_steps(text, bench.LABELS).label


def test_written_steps_are_those_of_the_package_and_can_be_read():
    items = make("classify", "test", 40, seed=21)
    texts = [steps.three_steps(*steps.trials_of(i), i.answer) for i in items]
    assert texts == [with_steps(i).answer for i in items]
    assert [steps.read_label(t, bench.LABELS) for t in texts] == [i.answer for i in items]
    shares = steps.where_right(texts, items)
    assert set(shares.values()) == {1.0}
    assert set(steps.where_right(["no idea"] * 40, items).values()) == {0.0}


def test_confusions_count_what_was_said():
    table = nb08.plots.confusion(["yes", "yes", "no"], ["yes", None, "other"])
    assert table.tolist() == [[1, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    figure, text = nb08.plots.confusions({"text": table}, "Title")
    assert "≈1 of 3 right, ≈2 without a label" in text
    close(figure)
    figure, text = nb08.plots.lengths({"text": [50, 60], "head": [0, 0]}, "Title")
    assert "text: mean ≈55, longest ≈60" in text
    close(figure)


def test_a_claim_is_told_from_the_file(monkeypatch, capsys):
    effect = {"says": "accuracy", "ours": "a", "other": "b", "verdict": "holds here"}
    one = effect | {"mean": 0.1, "low": None, "high": None}
    none = effect | {"mean": None, "low": None, "high": None}
    found = {"title": "T?", "verdict": "v", "seeds": [0], "effects": [one, none], "why": "w"}
    monkeypatch.setattr(nb08.claims.ladder, "claim", lambda claim_id: found)
    nb08.claims.lines("x")
    said = capsys.readouterr().out
    assert "+0.100 in one seed, nothing decided" in said
    assert "not measured" in said


@pytest.mark.parametrize("key", TYPED)
def test_typed_answers_make_the_mistake_they_say(key):
    import torch.nn as nn

    mistake, source = TYPED[key]
    scope = {"torch": torch, "nn": nn, "F": F, "RULES": steps.RULES}
    scope["pool"] = checks.exercise("8.1").reference()
    before = dict(scope)
    exec(source, scope)
    changed = {n: v for n, v in scope.items() if n != "__builtins__" and v is not before.get(n)}
    [made] = changed.values()
    verdict = checks.judge(key, made)
    assert (verdict.kind, verdict.mistake) == ("wrong", mistake), verdict.text
