"""`medmoe data`: rows are sorted and counted, none is lost; what is shown is in the file."""

from __future__ import annotations

import io
import json
import shutil
import tracemalloc
from functools import partial

import pytest

from medmoe_lite.paths import data_dir
from medmoe_lite.tasks import quarantine
from medmoe_lite.tasks.data_command import main, plain
from medmoe_lite.tasks.quarantine import FILES, sort_rows
from medmoe_lite.tasks.readers import READERS, BadRow, DataError, read
from medmoe_lite.tasks.readers.lookalikes import LOOKALIKES, written
from medmoe_lite.tasks.readers.sniff import candidates
from medmoe_lite.tasks.record import Example


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDMOE_HOME", str(tmp_path / "home"))
    return tmp_path


def sums(path, rows):
    """A GSM8K file: numbers become good rows, texts stand as they are."""
    dumps = partial(json.dumps, ensure_ascii=False)
    lines = [
        row if isinstance(row, str)
        else dumps({"question": f"What is {row} and 1 – né?", "answer": f"So\n#### {row + 1}"})
        for row in rows
    ]  # fmt: skip
    path.write_text(
        "".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape"
    )
    return path


def test_the_facts_are_checked_as_before(place, capsys):
    assert main(["check"]) == 0
    facts = shutil.copytree(data_dir() / "facts", place / "facts")
    assert main(["check", str(facts)]) == 0
    assert "OK: the facts in" in capsys.readouterr().out
    (place / "empty").mkdir()
    assert main(["check", str(place / "empty")]) == 1
    assert "drugs.csv:0: the file is missing" in capsys.readouterr().out


BAD = ['{"question": "cut of', '{"question": "No answer?"}', '{"question": 5, "answer": null}',
       '{"question": "A byte \udcff", "answer": "#### 1"}', "[]"]  # fmt: skip


def test_every_row_is_good_or_in_quarantine(place, capsys):
    path = sums(place / "test.jsonl", [1, BAD[0], 2, 3, *BAD[1:], 4])
    assert main(["check", str(path), "--as", "gsm8k", "--out", str(place / "out")]) == 1
    said = capsys.readouterr().out
    good, bad, report = (place / "out" / name for name in FILES)
    assert sorted(p.name for p in (place / "out").iterdir()) == sorted(FILES)

    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    kept = [json.loads(line) for line in bad.read_text(encoding="utf-8").splitlines()]
    assert [(row["line"], row["raw"]) for row in kept] == [
        (number, line) for number, line in enumerate(lines, 1) if line in BAD
    ]
    assert [e.meta["line"] for e in read("kit", good)] == [1, 3, 4, 9]
    told = json.loads(report.read_text(encoding="utf-8"))
    assert (told["rows"], told["good"], told["bad"]) == (9, 4, 5) == (len(lines), 4, len(BAD))
    assert [(f["kind"], f["line"]) for f in told["findings"]] == [
        ("bad row", n) for n in (2, 5, 6, 7, 8)
    ]
    assert all(f["file"] == str(path) and len(f["reason"]) > 10 for f in told["findings"])
    assert len(told["sha256"]) == 64
    for row in kept:
        assert f"{path}:{row['line']}: bad row: {row['reason']}" in said
    assert "9 rows = 4 good + 5 bad" in said


def test_the_screen_shows_twenty_the_report_all(place, capsys):
    path = sums(place / "test.jsonl", [1] + [BAD[0]] * 30)
    assert main(["check", str(path), "--as", "gsm8k", "--out", str(place)]) == 1
    said = capsys.readouterr().out
    assert said.count(": bad row: ") == 20
    assert "10 more of the kind 'bad row'" in said
    assert len(json.loads((place / FILES[2]).read_text())["findings"]) == 30


@pytest.mark.parametrize("item", LOOKALIKES, ids=lambda item: f"{item.reader}-{item.name}")
def test_good_rows_are_read_back_as_they_were(place, item, capsys):
    path = place / item.name
    path.write_bytes(written(item.name, item.value))
    if item.beside[0]:
        (place / item.beside[0]).write_bytes(written(*item.beside))
    out = place / "out"
    assert main(["check", str(path), "--as", item.reader, "--out", str(out)]) == 0
    first = read(item.reader, path)
    again = read("kit", out / FILES[0])
    assert len(first) == len(again) > 0
    for one, two in zip(first, again, strict=True):
        assert (one.task, one.prompt, one.answer, one.style, one.choices, one.grader) == (
            two.task, two.prompt, two.answer, two.style, two.choices, two.grader,
        )  # fmt: skip
        assert json.loads(json.dumps(one.meta)) == two.meta
    assert item.reader in candidates(path)


def test_several_candidates_are_named(place, capsys):
    (same,) = [item for item in LOOKALIKES if item.reader == "piqa"]
    (place / "test.json").write_bytes(written(same.name, same.value))
    assert main(["preview", str(place / "test.json")]) == 2
    assert "piqa" in (said := capsys.readouterr().err)
    assert "say which with --as NAME" in said


def test_what_no_reader_reads_and_what_many_do(place, capsys):
    (place / "poem.txt").write_text("a poem,\nno data\n")
    assert main(["check", str(place / "poem.txt")]) == 2
    assert "no reader reads" in capsys.readouterr().err
    (place / "pointer.json").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    )
    assert main(["preview", str(place / "pointer.json")]) == 2
    assert "medmoe data" in (said := capsys.readouterr().err)
    assert "--as NAME" in said or "Git LFS" in said
    path = sums(place / "test.jsonl", [1, 2])
    assert main(["preview", str(path)]) == 0
    assert "read as gsm8k (found by trying" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [(["check", "nowhere.json"], "there is no nowhere.json"),
     (["preview", "F", "--as", "gsm9k"], "did you mean 'gsm8k'"),
     (["preview", "F", "--as", "gsm8k", "--split", "dev"], "no split 'dev'"),
     (["preview", "F", "--as", "gsm8k", "--option", "x=1"], "no option 'x'"),
     (["preview", "F", "--as", "gsm8k", "--option", "x"], "NAME=VALUE"),
     (["check", "F", "--as", "gsm8k", "--against", "gone"], "there is no gone"),
     (["fetch", "nonsense"], "no source is named 'nonsense'"),
     (["fetch", "gsm8k"], "data fetch gsm8k --yes"),
     (["fetch", "medqa"], "cannot be fetched by a command")],
)  # fmt: skip
def test_what_cannot_be_done_says_so(place, capsys, words, message, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    path = sums(place / "test.jsonl", [1])
    assert main([str(path) if word == "F" else word for word in words]) == 2
    assert message in capsys.readouterr().err


def example(number, answer="a", question=None, identity=None):
    where = {"id": identity or str(number), "file": "f", "line": number}
    asked = {"question": question} if question else {}
    return Example("t", question or f"q {number}", answer, meta={**where, **asked})


def test_duplicates_contradictions_and_leaks_are_named(tmp_path):
    rows = [
        example(1), example(2, identity="1"), example(3, question="q 1"),
        example(4, "b", question="q 1"), BadRow("f", 5, "broken", "{"),
        example(6, question="IS it, so?"),
    ]  # fmt: skip
    test = [example(8, question="Is it so"), BadRow("g", 2, "broken", ""), example(9)]
    found = sort_rows(rows, tmp_path, {"reader": "t"}, test)
    assert found.counts == {
        "bad row": 1, "duplicate id": 1, "duplicate text": 1, "contradiction": 1, "leak": 1,
    }  # fmt: skip
    assert (found.rows, found.good, found.bad) == (6, 5, 1)
    said = "\n".join(map(str, found.first))
    for line in (
        "f:2: duplicate id: '1', first in f:1", "f:3: duplicate text: the same item, first in f:1",
        "f:4: contradiction: another answer than in f:1", "f:6: leak: its question is asked in f:8",
    ):  # fmt: skip
        assert line in said
    told = json.loads((tmp_path / FILES[2]).read_text())
    assert told["test_rows_not_compared"] == 1
    assert told["leak"] == 1


def test_leakage_between_two_files(place, capsys):
    train = sums(place / "train.jsonl", range(10))
    test = sums(place / "test.jsonl", [20, 7, 21])
    words = [
        "check",
        str(train),
        "--as",
        "gsm8k",
        "--against",
        str(test),
        "--out",
        str(place / "o"),
    ]
    assert main(words) == 1
    assert f"{train}:8: leak: its question is asked in {test}:2" in capsys.readouterr().out
    assert main([*words[:5], str(sums(place / "other.jsonl", [30])), *words[6:]]) == 0


def test_a_stop_in_the_middle_leaves_the_old_files(tmp_path):
    sort_rows([example(1)], tmp_path, {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == set(FILES)

    def rows():
        yield example(2)
        raise DataError("the disk went away")

    with pytest.raises(DataError):
        sort_rows(rows(), tmp_path, {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_leftovers_of_a_killed_check_go_and_two_checks_do_not_meet(tmp_path):
    (tmp_path / ".good.jsonl.999.tmp").write_text("half a li")
    (tmp_path / ".seen-x.tmp").mkdir()

    def rows():
        yield example(1)
        with pytest.raises(RuntimeError, match="another run writes to"):
            sort_rows([example(2)], tmp_path, {})

    assert sort_rows(rows(), tmp_path, {}).rows == 1
    assert {path.name for path in tmp_path.iterdir()} == set(FILES)


def test_memory_does_not_grow_with_the_rows(tmp_path):
    def peak(count):
        tracemalloc.start()
        rows = (example(n) if n % 50 else BadRow("f", n, "bad", "x" * 99) for n in range(count))
        sort_rows(rows, tmp_path / str(count), {})
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(3000) < peak(500) + 50_000


def test_a_line_lost_while_writing_is_an_error(tmp_path, monkeypatch):
    """The file the good rows go to holds exactly as many lines as the report says."""
    sort_rows([example(n) for n in range(7)], tmp_path, {})
    assert (tmp_path / FILES[0]).read_bytes().count(b"\n") == 7
    monkeypatch.setattr(quarantine, "line_of", lambda row: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sort_rows([example(1)], tmp_path / "new", {})
    assert list((tmp_path / "new").iterdir()) == []


def test_preview_shows_the_turns_answer_metric_and_licence(place, capsys):
    path = place / "anatomy_test.csv"
    path.write_text('"Which\nbone\x1b[2J?",femur,liver,None,"0",A\nSecond?,a,b,c,d,B\n')
    assert main(["preview", str(path), "--as", "mmlu", "--n", "1"]) == 0
    said = capsys.readouterr().out
    for part in (
        "<|im_start|>user\n", "Which\nbone\\x1b[2J?\nA. femur\nB. liver\nC. None\nD. 0<|im_end|>\n"
        "<|im_start|>assistant\nA<|im_end|>", "answer  A\n", "choices A | B | C | D",
        "metric  accuracy", "licence MIT",
    ):  # fmt: skip
        assert part in said
    assert "Second" not in said
    assert plain("心 \t\n\x9b\u202e") == "心 \t\n\\x9b\\u202e"


def test_list_shows_every_reader(place, capsys):
    assert main(["list"]) == 0
    said = capsys.readouterr().out
    assert main(["list", "--markdown"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == len(READERS) + 2
    assert len({line.count("|") for line in table}) == 1
    for name in READERS:
        assert f"\n{name} " in f"\n{said}"
        assert any(line.startswith(f"| {name} |") for line in table)
    (place / "home" / "data" / "medqa").mkdir(parents=True)
    (place / "home" / "data" / "medqa" / "test.jsonl").write_text("{}")
    main(["list"])
    assert "fetch: by hand; here: medqa" in capsys.readouterr().out


def test_the_readers_table_of_the_docs_is_the_list(root, capsys, place):
    main(["list", "--markdown"])
    assert capsys.readouterr().out.strip() in (root / "docs" / "data.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("row", "reason"),
    [({"prompt": "p", "answer": "a"}, "'task'"), ({"task": "t", "prompt": "p"}, "'answer'"),
     ({"task": "t", "prompt": "p", "answer": ""}, "'answer'"),
     ({"task": "t", "prompt": "p", "answer": "a", "choices": "AB"}, "list of texts"),
     ({"task": "t", "prompt": "p", "answer": "a", "style": "song"}, "'song'"),
     ({"task": "t", "prompt": "p", "answer": "a", "meta": []}, "an object"),
     ({"task": "t", "prompt": "p", "answer": "a", "grader": 1}, "'grader'"),
     ({"task": "t", "prompt": "p", "answer": "a", "label": 1}, "unknown field 'label'")],
)  # fmt: skip
def test_rows_of_the_kit_are_checked(tmp_path, row, reason):
    path = tmp_path / "own.jsonl"
    path.write_text(
        json.dumps({"task": "t", "prompt": "p", "answer": "a"}) + "\n" + json.dumps(row)
    )
    (good, bad) = READERS["kit"].rows(path, None)
    assert good.meta == {"id": "own.jsonl:1", "file": str(path), "line": 1}
    assert bad.line == 2
    assert reason in bad.reason


def test_published_files_are_sorted(realdata, place, capsys):
    def counts(*words):
        assert main(["check", *map(str, words), "--out", str(place / "out")]) in (0, 1)
        return json.loads((place / "out" / FILES[2]).read_text(encoding="utf-8"))

    told = counts(realdata / "gsm8k" / "test.jsonl")
    assert (told["reader"], told["rows"], told["bad"]) == ("gsm8k", 1319, 0)
    told = counts(realdata / "ncbi_disease" / "devel.tsv")
    assert (told["reader"], told["rows"], told["bad"]) == ("bio_ner", 923, 0)
    told = counts(realdata / "medquad" / "12_MPlusHerbsSupplements_QA", "--as", "medquad")
    assert told["bad"] == told["rows"] > 0
    pqa = realdata / "pubmedqa" / "ori_pqal.json"
    words = ("--as", "pubmedqa", "--against", pqa, "--against-split", "test")
    assert counts(pqa, *words)["leak"] == 500
    assert counts(pqa, *words, "--split", "train")["leak"] == 0
