"""What notebook 10 leans on: cards, pairs, the rule, bad habits, slices, updates, the browser."""

import itertools
import json
import math
import random
import statistics
from statistics import NormalDist, fmean

import pytest

from medmoe_lite.bases.checksums import base_digest
from medmoe_lite.course.build import notebooks_dir
from medmoe_lite.lab import nb10
from medmoe_lite.lab.nb10 import record
from medmoe_lite.lab.nb10.examples import CARD
from medmoe_lite.lab.nb10.quiz import EFFECTS, GAPS, QUIZ
from medmoe_lite.lab.record import BASES
from medmoe_lite.lab.recorded import recorded
from medmoe_lite.measure.stats import paired_over_seeds
from medmoe_lite.reproduce import verdict

T_TABLE = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 8: 2.365}  # seeds -> two-sided 95 %
mark = nb10.rule.fingerprint


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDMOE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("n", T_TABLE)
def test_the_interval_is_students(n):
    rng = random.Random(n)
    ours, other = ([rng.random() for _ in range(n)] for _ in range(2))
    mean, low, high = nb10.rule.paired_interval(ours, other)
    gaps = [a - b for a, b in zip(ours, other, strict=True)]
    half = T_TABLE[n] * (sum((g - fmean(gaps)) ** 2 for g in gaps) / (n - 1) / n) ** 0.5
    assert mean == pytest.approx(fmean(gaps))
    assert (high - mean, mean - low) == pytest.approx((half, half), rel=1e-3)
    package = paired_over_seeds(ours, other)
    assert (mean, low, high) == pytest.approx((package.mean, package.low, package.high))


def test_the_rule_is_the_packages():
    rng = random.Random(0)
    for expect in nb10.rule.EXPECTED:
        for _ in range(300):
            mean, half = rng.uniform(-0.2, 0.2), rng.uniform(0, 0.2)
            case = (mean, mean - half, mean + half, expect, 0.05)
            assert nb10.rule.judge(*case) == verdict.judge(*case)
    assert nb10.rule.judge(0.5, math.nan, math.nan, "more", 0.1) == verdict.NOT_TESTABLE


def test_seeds_needed_is_the_first_that_is_enough():
    gaps = [0.02, 0.07, -0.01, 0.03, 0.05]
    for n, t in T_TABLE.items():
        width = t * statistics.stdev(gaps) / n**0.5
        assert nb10.rule.seeds_needed(gaps, width * 1.001) == n
        assert nb10.rule.seeds_needed(gaps, width * 0.999) == n + 1


def test_no_arm_learns_what_is_asked():
    rows = nb10.bench.known()
    values = [[*options] for options in nb10.bench.SETTINGS.values()]
    for seed, *chosen in itertools.product(range(5), *values):
        arm = dict(zip(nb10.bench.SETTINGS, chosen, strict=True))
        parts = nb10.bench.split(arm, seed)
        asked = {*parts.new, *parts.near}
        assert len(parts.train) == len(set(parts.train)) == arm["conditions"]
        assert not asked & {*parts.train}
        assert len(asked) == 2 * nb10.bench.HELD
        inside = [c for c in parts.train if rows[c]["specialty"] in nb10.bench.TESTED]
        assert len(inside) == (arm["conditions"] // 2 if arm["specialties"] == "all" else 0)
        assert {rows[c]["specialty"] for c in parts.new} <= {*nb10.bench.TESTED}
        assert parts[1:] == nb10.bench.split({}, seed)[1:]


def test_a_run_gives_the_numbers_of_a_claim(monkeypatch):
    monkeypatch.setenv("MEDMOE_FAST", "1")
    found = nb10.bench.run({"conditions": 4}, 0)
    assert set(found) == {"new", "near", "seen", "by_condition", "rehearsal"}
    both = [*nb10.bench.split({}, 0).new, *nb10.bench.split({}, 0).near]
    assert list(found["by_condition"]) == both


def test_marks_are_those_of_generation():
    from medmoe_lite.measure import score

    model, tokenizer = nb10.bench.student(2, 0)
    items = [i for name in ("updated", "stale", "far") for i in nb10.change.world()[name]]
    assert nb10.bench.marks(model.eval(), tokenizer, items) == [
        float(right) for right in score(model, tokenizer, items).correct
    ]


def test_a_card_is_registered_and_its_changes_are_seen(home, capsys):
    nb10.card.register(CARD, mark)
    assert nb10.card.audit(CARD, mark) == []
    turned = dict(reversed(CARD.items()))
    assert nb10.card.audit(turned, mark) == []
    later = {**CARD, "margin": 0.2}
    assert nb10.card.audit(later, mark) == ["margin: 0.1 was registered, now it is 0.2"]
    nb10.card.register(CARD, mark)
    assert len(nb10.card.registrations(CARD)) == 1
    nb10.card.register(later, mark)
    assert [entry["card"]["margin"] for entry in nb10.card.registrations(CARD)] == [0.1, 0.2]
    assert "margin: 0.1 was registered" in capsys.readouterr().out
    assert [path.name for path in (home / "cards").iterdir()] == ["domains.json"]


def test_an_edited_or_damaged_file_is_seen(home):
    nb10.card.register(CARD, mark)
    path = nb10.card.path_of(CARD)
    text = path.read_text()
    path.write_text(text.replace('"margin": 0.1', '"margin": 0.3'))
    assert "edited" in nb10.card.audit({**CARD, "margin": 0.3}, mark)[0]
    path.write_text(text[:50])
    assert "no card" in nb10.card.audit(CARD, mark)[0]
    assert nb10.card.path_of({"id": "../../x y"}).parent == path.parent


def fake_run(arm, seed):
    value = 0.8 + 0.01 * seed - (0.3 if arm.get("specialties") == "others" else 0.0)
    return {"new": value, "near": 0.7, "seen": 0.9, "by_condition": {}, "rehearsal": False}


def test_an_experiment_goes_on_where_it_stopped(monkeypatch):
    done = []

    def run(arm, seed):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(seed)
        return fake_run(arm, seed)

    monkeypatch.setattr(nb10.bench, "run", run)
    with pytest.raises(ValueError, match="no card"):
        nb10.own.run_all(CARD, mark)
    nb10.card.register(CARD, mark)
    with pytest.raises(KeyboardInterrupt):
        nb10.own.run_all(CARD, mark)
    monkeypatch.setattr(
        nb10.bench, "run", lambda arm, seed: done.append(seed) or fake_run(arm, seed)
    )
    runs = nb10.own.run_all(CARD, mark)
    assert done == [0, 0, 1, 1, 2, 2]
    assert list(nb10.own.columns(CARD, runs)) == ["other specialties", "all specialties"]
    with pytest.raises(ValueError, match="margin"):
        nb10.own.run_all({**CARD, "margin": 0.2}, mark)


def test_ones_own_row_is_judged_as_the_ladder_judges(monkeypatch):
    monkeypatch.setattr(nb10.bench, "run", fake_run)
    nb10.card.register(CARD, mark)
    runs = nb10.own.run_all(CARD, mark)
    row = nb10.own.row_of(CARD, runs)
    assert row["verdict"] == verdict.CONTRADICTED
    assert row["effects"][0]["mean"] == pytest.approx(-0.3)
    assert set(row) == set(next(iter(nb10.browser.ladder()["claims"].values())))
    _, words = nb10.browser.forest(row, own=True)
    assert "This run, 3 seeds" in words
    table = nb10.browser.rows(row)
    assert nb10.browser.chosen(table, paper="your own") == ["your own"]
    assert nb10.browser.chosen(table, "your own", verdict.HOLDS) == []
    assert len(nb10.browser.chosen(table)) == len(table)
    counts = nb10.browser.overview(row)
    assert sum(n for row in counts.values() for n in row.values()) == len(table)


def test_the_browser_filters_and_answers(monkeypatch):
    table = nb10.browser.rows()
    box = nb10.browser.controls(table)
    paper, which, claim, image, _ = box.children[0].children
    first = next(iter(table))
    assert table[first]["title"].split()[0] in image.value
    paper.value = table[list(table)[-1]]["paper"]
    assert {table[value]["paper"] for _, value in claim.options} == {paper.value}
    assert claim.value == claim.options[0][1]
    assert table[claim.value]["hypothesis"].split()[0] in box.children[1].value
    for value in [value for _, value in claim.options]:
        claim.value = value
    for one in which.options:
        which.value = one  # a pair of filters that nothing passes raises nothing


def test_effects_that_say_the_same_are_told_apart_by_their_measure():
    effects = [{"says": "a", "measure": m} for m in ("heldout", "formats")]
    told = nb10.browser.named([*effects, {"says": "b", "measure": "heldout"}])
    assert told == ["facts, other wording: a", "strict formats: a", "b"]


def test_a_prediction_is_settled_by_the_recording():
    assert "about as well" in nb10.claims.crossing((0.0, -0.04, 0.04))
    assert "worse" in nb10.claims.crossing((-0.3, -0.4, -0.2))
    assert "not decided" in nb10.claims.crossing((0.0, -0.2, 0.2))


def test_claims_without_numbers_can_be_looked_at():
    claim = dict(next(iter(nb10.browser.ladder()["claims"].values())))
    empty = {**claim, "effects": [], "seeds": [], "why": "needs an exam"}
    assert "needs an exam" in nb10.browser.forest(empty)[1]
    assert "needs an exam" in nb10.browser.as_html("x", empty)
    effect = {**claim["effects"][0], "low": None, "high": None, "verdict": "", "values": [0.1]}
    single = {**claim, "effects": [effect], "seeds": [0]}
    assert "one seed, no interval" in nb10.browser.forest(single)[1]


def test_habits_find_what_chance_gives():
    s = nb10.simulate
    ahead = s.MARGIN / s.NOISE
    one = 1 - NormalDist(0, 2**0.5).cdf(ahead)
    assert s.found_by(s.one_seed) == pytest.approx(one, abs=0.03)
    grid = [-6 + 0.01 * i for i in range(1201)]
    normal = NormalDist()
    for habit, n in ((s.best_of_seeds, s.BEST_OF), (s.peeking, s.CHECKPOINTS)):
        best = sum(normal.pdf(x) * (1 - normal.cdf(x + ahead) ** n) for x in grid) * 0.01
        assert s.found_by(habit) == pytest.approx(best, abs=0.03)
    shares = s.shares()
    assert shares["best of 10 seeds"] > 0.5  # the choice that prediction A calls right
    assert next(iter(shares)) == min(shares, key=shares.get)


def test_noise_is_the_median_spread():
    arms = {"a": {"numbers": {"x": [0.1, 0.2, 0.3]}}, "b": {"numbers": {"x": [0.1, 0.1]}}}
    ladder = {"claims": {"c": {"arms": arms, "plot": {"measures": ["x"]}}}}
    assert nb10.simulate.noise_of(ladder) == pytest.approx(0.1)
    assert nb10.simulate.noise_of({"claims": {}}) is None


def test_each_report_shows_its_own_mark():
    found = {run: nb10.failure.report(cause) for run, cause in nb10.failure.SICK.items()}
    assert all(one.gain >= nb10.failure.MARGIN for one in found.values())
    peeking, unequal, best = (found[run] for run in ("run P", "run Q", "run R"))
    steps, scores = peeking.lines["ours, test"]
    assert peeking.quoted["ours"] == (steps[scores.index(max(scores))], max(scores))
    assert peeking.quoted["ours"][0] < steps[-1]
    assert peeking.quoted["ours"][0] != steps[-1] == peeking.quoted["other"][0]
    dev = peeking.lines["ours, development"][1]
    assert dev.index(max(dev)) != scores.index(max(scores))
    assert unequal.quoted["ours"][0] > unequal.quoted["other"][0]
    level = dict(zip(*unequal.lines["ours, test"], strict=True))[unequal.quoted["other"][0]]
    assert abs(level - unequal.quoted["other"][1]) < nb10.failure.MARGIN
    assert best.quoted["ours"][1] == max(best.lines["ours, each seed"][1])
    for run in found:
        gap = nb10.rule.paired_interval(*nb10.failure.repaired(run))
        assert nb10.rule.judge(*gap, "more", nb10.failure.MARGIN) == verdict.NOT_VISIBLE
    assert abs(nb10.failure.report("none of them").gain) < nb10.failure.MARGIN


def test_slices_are_over_conditions_and_held_against_chance():
    names = sorted(nb10.bench.known())
    rng = random.Random(0)
    scores = {name: rng.choice((0.5, 0.75, 1.0)) for name in names}
    table = nb10.slices.table(scores)
    assert sum(one.n for one in table) == len(names)
    name, below, _, share = nb10.slices.lowest(scores)
    worst = min(table, key=lambda one: one.mean)
    assert name == worst.name
    assert below == pytest.approx(fmean(scores.values()) - worst.mean)
    assert 0 <= share <= 1
    rows = nb10.bench.known()
    hit = {n: 0.0 if rows[n]["specialty"] == "neurology" else 1.0 for n in names}
    assert nb10.slices.lowest(hit)[0] == "neurology"
    assert nb10.slices.lowest(hit)[3] < 0.2 < nb10.slices.lowest(dict.fromkeys(names, 1.0))[3]


def test_an_update_asks_nothing_that_it_taught():
    made = nb10.change.world()
    entities = {key: {item.meta["entity"] for item in items} for key, items in made.items()}
    assert entities["taught"] == entities["updated"] == entities["stale"] == entities["neighbours"]
    assert len(entities["taught"]) == nb10.change.CHANGED == 6
    assert not entities["far"] & (entities["taught"] | entities["replay"])
    prompts = {item.prompt for key in ("taught", "replay") for item in made[key]}
    asked = [item for key in nb10.change.ASPECTS for item in made[key]]
    assert not prompts & {item.prompt for item in asked}
    pairs = zip(made["updated"], made["stale"], strict=True)
    assert all(a.prompt == b.prompt and a.answer != b.answer for a, b in pairs)


def test_the_recording_is_whole_and_of_other_seeds():
    found = recorded("10_domains")
    assert found["settings"]["bases"] == {name: base_digest(name) for name in BASES}
    assert found["settings"]["arms"] == record.ARMS
    there = {(run["arm"], run["seed"]) for run in found["runs"]}
    seeds = {seed for _, seed in there}
    assert there == set(itertools.product(record.ARMS, seeds))
    assert len(seeds) >= 5
    assert not seeds & {*CARD["seeds"]}
    assert record.ARMS["other specialties"] == {}
    run = found["runs"][0]
    asked = [*nb10.bench.split({}, run["seed"]).new, *nb10.bench.split({}, run["seed"]).near]
    assert sorted(run["by_condition"]) == sorted(asked)


def test_what_the_text_says_is_what_the_code_does():
    text = (notebooks_dir() / "source" / "10_reproduction_lab.py").read_text(encoding="utf-8")
    assert f"The base knows {len(nb10.bench.known())}\n" in text
    assert f"{nb10.simulate.STUDIES} invented" in text
    for key, values in nb10.bench.SETTINGS.items():
        row = next(line for line in text.splitlines() if line.startswith(f"# | {key} |"))
        assert all(str(value) in row for value in values)
        assert str(nb10.bench.DEFAULT[key]) in row.split("|")[-2]
    assert json.dumps(CARD["hypothesis"]) in text


def test_numbers_of_the_quiz_are_computed():
    numbers = {item.key: item.number for item in QUIZ if item.number is not None}
    mean, low, high = nb10.rule.paired_interval(GAPS, [0.0] * len(GAPS))
    assert numbers == {"10.q1": round(high - mean, 3), "10.q2": 0.05 * EFFECTS}
    assert low < 0 < min(GAPS)
    assert str(EFFECTS) in QUIZ[1].text


def test_cases_are_those_of_the_formula_for_two_shares():
    for a, b in ((0.6, 0.7), (0.6, 0.62)):
        z = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
        want = z * z * (a * (1 - a) + b * (1 - b)) / (a - b) ** 2
        assert nb10.claims.cases_needed(a, b) == pytest.approx(want, rel=0.002)


def test_published_numbers_come_from_the_ladder():
    sizes = nb10.claims.published_sizes()
    assert [size for size, _ in sizes] == ["1.8B", "7B", "14B"]
    assert all(lost > 0 for _, lost in sizes)


def test_the_whole_ladder_is_judged_alike():
    effects = nb10.claims.effects()
    ours = [e for e in effects if e["expect"] in nb10.rule.EXPECTED]
    assert nb10.claims.agreement(ours, nb10.rule.judge) == len(ours)
    assert nb10.claims.judged(effects, nb10.rule.judge) == [e["verdict"] for e in effects]
    level = 1 - 0.05 / len(effects)
    strict = nb10.claims.judged(effects, nb10.rule.judge, level)
    assert strict == [e["verdict_corrected"] for e in effects]


def test_corpus_sentences_pair_by_seed(monkeypatch):
    arms = {
        share: {"seeds": seeds, "numbers": {"kept.heldout": values}}
        for share, seeds, values in (
            ("25 %", [0, 1, 2], [0.2, 0.22, 0.24]),
            ("50 %", [0, 1, 2], [0.88, 0.91, 0.92]),
            ("100 %", [0, 1, 2, 3], [0.9, 0.91, 0.93, 0.1]),
        )
    }
    whole = {"claims": {"corpus": {"arms": arms, "seeds": [0, 1, 2]}}}
    monkeypatch.setattr("medmoe_lite.lab.ladder.ladder", lambda: whole)
    assert nb10.claims.by_share()["100 %"] == [0.9, 0.91, 0.93]
    assert nb10.claims.corpus()[-1] == "Recorded, 3 seeds."
    assert nb10.claims.smallest_corpus(0.1).endswith("50 %.")
    assert "No corpus" in nb10.claims.smallest_corpus(0.001)


def test_pictures_say_in_words_what_they_show():
    import matplotlib.pyplot as plt

    columns = {"a": [0.5, 0.6, 0.7], "b": [0.4, 0.6, 0.6]}
    gap = nb10.rule.paired_interval(*columns.values())
    drawn = [
        nb10.plots.pairs(columns, gap, 0.05, "more", "T"),
        nb10.plots.habits({"honest": 0.01, "peeking": 0.6}, "T"),
        nb10.plots.reports({"run P": nb10.failure.report(nb10.failure.CAUSES[1])} | {
            "run R": nb10.failure.report(nb10.failure.CAUSES[0])}),
        nb10.plots.slices(nb10.slices.table(dict.fromkeys(nb10.bench.known(), 1.0)), "T"),
        nb10.plots.change({"before": dict.fromkeys(nb10.change.ASPECTS, 0.5)},
                          nb10.change.SHOULD, "T"),
        nb10.plots.fitting({"x": {"seen": [0.9], "near": [0.7], "new": [0.6]}}, "T"),
        nb10.diagram.path_of_a_claim(),
    ]  # fmt: skip
    words = [text for _, text in drawn]
    assert "≈0.07" in words[0]
    assert "peeking 60%" in words[1]
    assert "gain of +" in words[2]
    assert "neurology ≈1.00" in words[3]
    assert "never" in words[6]
    for figure, _ in drawn:
        plt.close(figure)
