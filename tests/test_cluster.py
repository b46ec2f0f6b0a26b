"""The ladder on Dask: a killed worker costs its own run, a deadly work is given up."""

import io
import json
import os
import signal
import sys
import threading

import cluster_tiny as tiny
import pytest

from medmoe_lite import __version__
from medmoe_lite.reproduce import cluster, command
from medmoe_lite.reproduce.claim import works_of
from medmoe_lite.reproduce.cluster_task import perform
from medmoe_lite.reproduce.progress import Board
from medmoe_lite.reproduce.runner import climb
from medmoe_lite.reproduce.schedule import Job
from medmoe_lite.reproduce.worker import Series, read_result, result_file
from medmoe_lite.train.files import write_json

pytest.importorskip("distributed")
LADDER = "cluster_tiny:CLAIMS"
FIELDS = (LADDER, "nano", "full")


def calls(folder):
    return sorted((folder / "calls.txt").read_text().split("\n")[:-1])


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder that the command has filled while a worker was killed: (folder, code, texts)."""
    folder = tmp_path_factory.mktemp("killed")
    os.mkfifo(folder / "pipe")

    def kill():
        with open(folder / "pipe", "w"):  # opens when the worker reads: it is in the middle
            content = json.loads((folder / "tries" / "waits" / "seed0.json").read_text())
            os.kill(content["pid"], signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    patch = pytest.MonkeyPatch()
    with open(folder / "said.txt", "w") as said:
        patch.setattr(sys, "stderr", said)
        patch.setattr(sys, "stdout", said)
        before = os.dup(2)
        os.dup2(said.fileno(), 2)  # what the workers say
        arguments = ["--cluster", "--jobs", "2", "--seeds", "2", "--out", str(folder)]
        code = command.main(arguments, ladder=LADDER)
        os.dup2(before, 2)
        os.close(before)
    patch.undo()
    thread.join(10)
    return folder, code, (folder / "said.txt").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_worker_loses_nothing_and_repeats_only_its_own_run(killed):
    folder, _, _ = killed
    names = ["start", "waits", *(f"quick{n}" for n in range(4))]
    expected = [f"{name} {seed}" for name in names for seed in (0, 1)]
    expected += ["waits 0", "kills 0", "kills 0", "kills 1", "kills 1", "kills 1"]
    assert calls(folder) == sorted(expected)  # "after 0" is told as "kills 0"
    for work in works_of(tiny.CLAIMS.values()):
        for seed in (0, 1):
            there = read_result(folder, work, seed) is not None
            assert there == (work.name not in ("kills", "after") or seed == 0), (work.name, seed)
    assert not list(folder.rglob("*.tmp"))
    assert not (folder / "tries").exists()
    assert (folder / "report.html").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_work_that_kills_three_workers_is_reported_and_the_rest_goes_on(killed):
    folder, code, said = killed
    assert code == 1
    failures = json.loads((folder / "failures.json").read_text())
    assert failures == {
        "kills seed 1": "3 workers died while they were at it, as happens when memory runs out",
        "after seed 1": "needs 'kills', which failed",
    }
    assert "FAILED seed 1 kills: 3 workers died" in said
    assert "Traceback" not in said
    assert "a word that belongs" in (folder / "output.txt").read_text()
    assert "a word that belongs" not in said


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_any_scheduler_by_address_does_what_is_missing(killed):
    from distributed import LocalCluster

    folder, _, _ = killed
    (folder / "mended").touch()
    before = calls(folder)
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address=None,
    ) as running:
        write_json(folder / "scheduler.json", running.scheduler.identity())
        for where in (running.scheduler_address, str(folder / "scheduler.json")):
            series = Series(*FIELDS, folder)
            claims = list(tiny.CLAIMS.values())
            assert climb(series, claims, [0, 1], 0, Board(io.StringIO()), where) == {}
            result_file(folder, tiny.QUICK[2], 1).unlink()
    new = calls(folder)
    for call in before:
        new.remove(call)
    assert sorted(new) == ["kills 1", "kills 1", "quick2 1"]


def test_a_worker_of_another_version_or_without_the_disk_says_so(tmp_path):
    series = (*FIELDS, str(tmp_path / "elsewhere"))
    kind, text = perform(series, "start", 0, "run", __version__)
    assert kind == "failed"
    assert "does not see" in text
    assert "a disk that all machines share" in text
    kind, text = perform(series, "start", 0, "run", "0.0.1")
    assert f"has medmoe-lite {__version__}, the command 0.0.1" in text


def test_a_result_that_was_written_before_the_worker_died_is_not_computed_again(tmp_path):
    write_json(tmp_path / "ladder.json", {})
    series = (*FIELDS, str(tmp_path))
    first = perform(series, "quick1", 0, "run", __version__)
    assert first[0] == "done"
    assert perform(series, "quick1", 0, "run", __version__) == first
    assert calls(tmp_path) == ["quick1 0"]
    note = tmp_path / "tries" / "quick2" / "seed0.json"
    write_json(note, {"run": "run", "tries": 3})
    assert perform(series, "quick2", 0, "run", __version__)[1].startswith("3 workers died")
    assert perform(series, "quick2", 0, "a later call", __version__)[0] == "done"


def test_wrong_addresses_say_what_to_type(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.2)
    for where, text in (
        ("quick", "Claims stand before --cluster"),
        ("tcp://127.0.0.1:9", "no Dask scheduler answers at tcp://127.0.0.1:9"),
        (str(tmp_path / "scheduler.json"), "no Dask scheduler answers at"),
    ):
        out = ["--out", str(tmp_path / "l"), "--seeds", "1", "--cluster", where]
        assert command.main(out, ladder=LADDER) == 2
        assert text in capsys.readouterr().err


def test_without_dask_the_command_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    out = ["--out", str(tmp_path), "--seeds", "1", "--cluster"]
    assert command.main(out, ladder=LADDER) == 2
    assert "pip install 'medmoe-lite[cluster]'" in capsys.readouterr().err


def test_a_scheduler_with_a_lower_limit_does_not_decide(tmp_path):
    """Its KilledWorker blames pieces in the queue, too: they are given out again."""

    class KilledWorker(Exception):
        pass

    class Future:
        status = "error"

        def exception(self):
            return KilledWorker()

    series, job = Series(*FIELDS, tmp_path), Job(tiny.QUICK[0], 0)
    assert cluster._answer(Future(), series, job, "run")[0] == "again"
    write_json(tmp_path / "tries" / "quick0" / "seed0.json", {"run": "run", "tries": 3})
    kind, text = cluster._answer(Future(), series, job, "run")
    assert (kind, text[:14]) == ("failed", "3 workers died")
    Future.status = "cancelled"
    with pytest.raises(RuntimeError, match="the scheduler is gone. What is done is kept"):
        cluster._answer(Future(), series, job, "run")
