"""The ladder's runner: whole files, resume, crashes, and the command as a user types it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import reproduce_tiny as tiny

from medmoe_lite.reproduce import command
from medmoe_lite.reproduce.claim import Claim, Plot, Work, by_id, choose, works_of
from medmoe_lite.reproduce.folder import collect
from medmoe_lite.reproduce.progress import Board
from medmoe_lite.reproduce.runner import climb, one_thread
from medmoe_lite.reproduce.schedule import Schedule, expected_seconds, time_left
from medmoe_lite.reproduce.worker import Series, do, result_file

BASE = "nano"


def series(folder: Path, ladder: str = "CLAIMS", size: str = "full") -> Series:
    return Series(f"reproduce_tiny:{ladder}", BASE, size, folder)


def calls(folder: Path) -> list[str]:
    return (folder / "calls.txt").read_text().split("\n")[:-1]


def up(folder: Path, ladder: str = "CLAIMS", seeds=(0, 1), jobs=2, names=()):
    claims = [c for c in getattr(tiny, ladder).values() if not names or c.id in names]
    able = [c for c in claims if not c.unavailable()]
    board = Board(io.StringIO())
    return climb(series(folder, ladder), able, list(seeds), jobs, board), board


def test_everything_is_run_once_and_filed_under_each_claim(tmp_path):
    failures, board = up(tmp_path)
    assert failures == {}
    assert sorted(calls(tmp_path)) == sorted(
        f"{name} {seed}" for name in ("start", "better", "same") for seed in (0, 1)
    )
    for claim, arm in (("better", "ours"), ("shared", "ours"), ("unlearnt", "other")):
        content = json.loads((tmp_path / "runs" / claim / arm / "seed1.json").read_text())
        assert (content["claim"], content["arm"], content["seed"]) == (claim, arm, 1)
        assert content["numbers"]["score"] > 0.4
    assert not list(tmp_path.rglob("*.tmp"))
    assert "6 pieces of work" in board.stream.getvalue()
    assert "left" in board.stream.getvalue()


def test_a_second_call_does_nothing_and_more_seeds_only_what_is_new(tmp_path):
    up(tmp_path, names=("better",))
    before = calls(tmp_path)
    up(tmp_path, names=("better",))
    assert calls(tmp_path) == before
    up(tmp_path, names=("better",), seeds=(0, 1, 2))
    assert set(calls(tmp_path)) - set(before) == {"start 2", "better 2", "same 2"}


def test_what_was_not_finished_is_done_again(tmp_path):
    up(tmp_path, names=("better",), seeds=(0,))
    result_file(tmp_path, tiny.SAME, 0).unlink()
    up(tmp_path, names=("better",), seeds=(0,))
    assert calls(tmp_path).count("same 0") == 2
    assert calls(tmp_path).count("better 0") == 1


def test_another_version_of_a_work_is_done_again(tmp_path):
    up(tmp_path, names=("better",), seeds=(0,))
    path = result_file(tmp_path, tiny.BETTER, 0)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "version": 0}))
    up(tmp_path, names=("better",), seeds=(0,))
    assert calls(tmp_path).count("better 0") == 2


def test_a_killed_run_leaves_no_half_file(tmp_path):
    def killed(shop):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        do(Work("killed", killed), tiny.Shop(tmp_path, 0), 0, tmp_path)
    assert not result_file(tmp_path, Work("killed", killed), 0).exists()


def test_a_failure_costs_its_run_and_what_stands_on_it(tmp_path):
    failures, board = up(tmp_path, "BROKEN")
    assert set(failures) == {"breaks seed 1", "after seed 1"}
    assert "seed 1 is broken" in failures["breaks seed 1"]
    assert failures["after seed 1"] == "needs 'breaks', which failed"
    assert "FAILED seed 1 breaks" in board.stream.getvalue()
    runs = collect(series(tmp_path, "BROKEN"), list(tiny.BROKEN.values()), [0, 1])
    assert sorted(runs["better"]["ours"]) == [0, 1]
    assert sorted(runs["broken"]["ours"]) == [0]
    (tmp_path / "mended").touch()
    failures, _ = up(tmp_path, "BROKEN")
    assert failures == {}
    assert json.loads((tmp_path / "failures.json").read_text()) == {}


def test_a_process_that_dies_costs_its_run_only(tmp_path):
    failures, _ = up(tmp_path, "DEADLY", jobs=1, seeds=(0, 1, 2))
    assert list(failures) == ["dies seed 1"]
    assert "code 7" in failures["dies seed 1"]
    assert result_file(tmp_path, tiny.DIES, 2).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_command_goes_on_where_it_was(tmp_path):
    code = "from medmoe_lite.reproduce.command import main; raise SystemExit(main(ladder=LADDER))"
    code = code.replace("LADDER", "'reproduce_tiny:KILLED'").replace(
        "main(l", "main(sys.argv[1:], l"
    )
    command = [sys.executable, "-c", f"import sys; {code}", "--out", str(tmp_path)]
    command += ["--seeds", "2", "--jobs", "1"]
    environment = {**os.environ, "PYTHONPATH": str(Path(tiny.__file__).parent)}
    first = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert first.returncode == -9
    assert not (tmp_path / "report.html").exists()
    done = sorted(path.parent.name for path in tmp_path.glob("work/*/seed0.json"))
    assert done == ["better", "start"]
    second = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    assert "6 pieces of work, 2 of them done before" in second.stderr
    assert (tmp_path / "report.html").exists()
    assert calls(tmp_path).count("start 0") == 1


def test_a_folder_of_another_series_is_refused(tmp_path, monkeypatch):
    up(tmp_path, names=("better",), seeds=(0,))
    claims = [tiny.CLAIMS["better"]]
    with pytest.raises(ValueError, match=r"differ in settings, size .*another --out"):
        climb(series(tmp_path, size="quick"), claims, [0], 1, Board(io.StringIO()))
    monkeypatch.setattr(tiny, "fingerprint", lambda size: "other steps")
    with pytest.raises(ValueError, match=r"differ in settings"):
        climb(series(tmp_path), claims, [0], 1, Board(io.StringIO()))


def test_workers_get_one_thread_and_the_parent_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with one_thread():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ


def test_seeds_come_one_after_the_other_and_needs_first():
    schedule = Schedule([tiny.BETTER, tiny.SAME], [0, 1], done=[("start", 0)])
    order = []
    while job := schedule.next():
        order.append((job.work.name, job.seed))
        schedule.finish(job)
    assert order == [("better", 0), ("same", 0), ("start", 1), ("better", 1), ("same", 1)]
    assert schedule.over


def test_the_time_left_follows_what_was_measured():
    works = [Work("a", dict, seconds=10), Work("b", dict, seconds=30)]
    assert expected_seconds(works, {}) == [10, 30]
    assert expected_seconds(works, {"a": [4.0, 6.0]}) == [5, 15]
    schedule = Schedule(works, [0, 1], done=[("a", 0)])
    assert time_left(schedule, {"a": [5.0]}, {}, workers=1) == pytest.approx(15 + 5 + 15)
    assert time_left(schedule, {"a": [5.0]}, {}, workers=5) == pytest.approx(7)
    schedule.next()
    assert time_left(schedule, {"a": [5.0]}, {("b", 0): 10.0}, workers=1) == pytest.approx(25)


def test_claims_must_be_consistent():
    with pytest.raises(ValueError, match="speaks of arms"):
        tiny.claim("wrong", arms={"ours": tiny.BETTER})
    with pytest.raises(ValueError, match="two claims are named"):
        by_id([tiny.claim("one"), tiny.claim("one")])
    again = tiny.claim("two", arms={"ours": Work("better", dict), "other": tiny.SAME})
    with pytest.raises(ValueError, match="two works are named 'better'"):
        by_id([tiny.claim("one"), again])


def test_unknown_claims_are_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"no claim 'beter'. Did you mean better"):
        choose(tiny.CLAIMS, ["beter"], quick=False)
    assert [c.id for c in choose(tiny.CLAIMS, [], quick=True)] == ["better"]


def test_the_command_writes_everything(tmp_path, capsys):
    out = ["--out", str(tmp_path / "l"), "--jobs", "1", "--seeds", "3"]
    assert command.main(out, ladder="reproduce_tiny:CLAIMS") == 0
    said = capsys.readouterr()
    assert "holds here" in said.out
    assert "absent is left out" in said.err
    for name in ("report.html", "summary.json", "figures/better.svg", "figures/better.png"):
        assert (tmp_path / "l" / name).stat().st_size > 500, name
    summary = json.loads((tmp_path / "l" / "summary.json").read_text())
    assert summary["claims"]["better"]["verdict"] == "holds here"
    assert summary["claims"]["absent"]["verdict"] == "not testable at this scale"
    assert summary["seeds"] == [0, 1, 2]
    assert {"commit", "time", "torch", "python"} <= set(summary["stamp"])
    (tmp_path / "l" / "report.html").unlink()
    again = ["--report", "--out", str(tmp_path / "l")]
    assert command.main(again, ladder="reproduce_tiny:CLAIMS") == 0
    assert (tmp_path / "l" / "report.html").is_file()


def test_a_failure_is_an_exit_code_and_a_part_of_the_report(tmp_path, capsys):
    out = ["--out", str(tmp_path), "--jobs", "1", "--seeds", "2"]
    assert command.main(out, ladder="reproduce_tiny:BROKEN") == 1
    assert "FAILED breaks seed 1" in capsys.readouterr().err
    assert "seed 1 is broken" in (tmp_path / "report.html").read_text()


def test_wrong_options_say_what_to_type(capsys):
    assert command.main(["nothing"], ladder="reproduce_tiny:CLAIMS") == 2
    assert "medmoe reproduce --list" in capsys.readouterr().err
    assert command.main(["--jobs", "0"], ladder="reproduce_tiny:CLAIMS") == 2
    assert command.main(["--list"], ladder="reproduce_tiny:CLAIMS") == 0
    listed = capsys.readouterr().out
    assert "limited" in listed
    assert "[unavailable: medmoe_lite.nothing_there" in listed


def test_help_is_reached_through_medmoe():
    done = subprocess.run(
        [sys.executable, "-m", "medmoe_lite.cli", "reproduce", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    for option in ("--list", "--seeds", "--out", "--base", "--jobs", "--quick"):
        assert option in done.stdout


def test_the_real_ladder_is_whole():
    from medmoe_lite.reproduce.ladder import CLAIMS

    papers = {claim.paper for claim in CLAIMS.values()}
    assert papers == {"MING-MOE", "MedCare", "Med-MoE-LoRA", "LlamaCare"}
    for claim in CLAIMS.values():
        assert isinstance(claim, Claim)
        assert all((claim.hypothesis, claim.equal, claim.published, claim.source)), claim.id
        if not claim.arms:
            assert claim.limit
            continue
        primary = [effect for effect in claim.effects if effect.primary]
        assert primary, claim.id
        assert claim.plot != Plot(), claim.id
        if claim.quick:
            assert set(primary) <= set(claim.chosen_effects(quick=True)), claim.id
    quick = works_of([c for c in CLAIMS.values() if c.quick], quick=True)
    assert len(quick) < len(works_of(CLAIMS.values())) / 2
