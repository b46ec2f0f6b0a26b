"""The bench on tiny sizes: that all designs compute, what is written, how targets are judged."""

import json

import pytest
import torch
from layer_tiny import loop_over_experts, tiny_base
from torch import nn

from medmoe_lite.measure import bench, bench_clock, bench_models
from medmoe_lite.measure.bench_clock import ratio, take_turns
from medmoe_lite.measure.bench_designs import DESIGNS, LOOPS, OURS, Loop, attach
from medmoe_lite.measure.bench_layers import CELLS, Cell, Work, counts, measure_layers
from medmoe_lite.measure.bench_report import figure, table
from medmoe_lite.measure.bench_targets import COUNTS, TARGETS, Target, check, told

CELL = Cell(16, 24, tokens=12, dtype="float32", experts=4, r=2)
MIXTURE = (4, 2, 2)


@pytest.mark.parametrize("dense", [True, False])
def test_the_loops_compute_the_formula(dense):
    torch.manual_seed(0)
    loop = Loop(nn.Linear(6, 5, bias=False), experts=4, r=3, top_k=2, dense=dense).double()
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    expected = loop_over_experts(
        x.reshape(-1, 6),
        [layer.weight for layer in loop.A],
        [layer.weight for layer in loop.B],
        [2.0] * 4,
        0,
        (loop.gate.weight, loop.gate.bias),
        2,
    )
    torch.testing.assert_close(loop(x) - loop.base(x), expected.view(2, 3, 5))


def test_ours_and_the_loops_agree_on_the_same_weights():
    works = {design: Work(CELL, design) for design in (*LOOPS, *OURS)}
    first = works["stacked"].layer
    lowrank, gate = first.lowrank("default"), first.gate("default")
    outputs = []
    for design, work in works.items():
        with torch.no_grad():
            if design in LOOPS:
                work.layer.base.weight.copy_(first.base_layer.weight)
                for i, own in enumerate(lowrank.layout.slices):
                    work.layer.A[i].weight.copy_(lowrank.A[own])
                    work.layer.B[i].weight.copy_(lowrank.B[own].T)
                other = work.layer.gate
            else:
                work.layer.lowrank("default").load_state_dict(lowrank.state_dict())
                work.layer.base_layer.weight.copy_(first.base_layer.weight)
                other = work.layer.gate("default")
            other.load_state_dict(gate.state_dict())
            outputs.append(work.layer(works["stacked"].x))
    for output in outputs[1:]:
        torch.testing.assert_close(output, outputs[0])


def test_same_work_for_all_designs_and_only_adapters_learn():
    for design in DESIGNS:
        work = Work(CELL, design)
        assert work().shape == (1, 12, 24)
        names = {n for n, p in work.model.named_parameters() if p.requires_grad}
        assert not any("base" in n.split(".")[-2] for n in names), design
        count = sum(p.numel() for p in work.learn[1:])
        columns = {"frozen": 0, "lora kr": 4}.get(design, 8)
        router = 0 if design in ("frozen", "lora kr", "lora Er") else 4 * 17
        assert count == columns * (16 + 24) + router, design


def test_unknown_design():
    with pytest.raises(ValueError, match="type one of frozen, lora kr"):
        attach(nn.ModuleDict({"up_proj": nn.Linear(2, 2)}), "fast", 2, 2, 1)


def test_turns_are_taken_and_the_first_round_is_forgotten():
    seen = []
    designs = {name: (lambda name=name: seen.append(name)) for name in "abc"}
    times = take_turns(designs, rounds=3)
    assert [len(values) for values in times.values()] == [3, 3, 3]
    rounds = ["".join(seen[i : i + 3]) for i in range(0, 12, 3)]
    assert rounds == ["cab", "abc", "bca", "cab"]  # nobody is always first
    times = take_turns(designs, rounds=50, seconds=0.0, least=2)
    assert len(times["a"]) == 2


def test_the_clock_of_a_cpu_is_the_time_of_the_process(monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setattr(bench_clock.time, "process_time", lambda: float(next(ticks)))
    assert take_turns({"one": lambda: None}, rounds=2) == {"one": [1.0, 1.0]}


def test_one_thread_only_inside():
    before = torch.get_num_threads()
    with bench_clock.one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_ratios_are_formed_inside_a_round():
    assert ratio([1.0, 20.0, 3.0], [1.0, 10.0, 1.0]).median == 2.0


def test_counts_of_a_frozen_layer_and_of_ours():
    work = Work(CELL, "frozen")
    work()
    assert counts(work) == {"forward": 1, "both": 2, "waits": 0, "kept": 0.0}
    ours = {design: Work(CELL, design) for design in ("stacked", "sparse")}
    for work in ours.values():
        work()
    assert counts(ours["stacked"])["forward"] == 10
    assert counts(ours["stacked"])["waits"] == 0
    assert counts(ours["sparse"])["waits"] > 0


def test_cells_cover_what_is_promised():
    names = {cell.name for cell in CELLS}
    assert len(names) == 8
    others = {"training step", "decoding", "telemetry 256→688", "telemetry 2048→5504"}
    assert {target.cell for target in TARGETS} <= names | others
    known = {*DESIGNS, "on", "off"}
    assert all(t.ours in known and t.other in known | set(COUNTS) for t in TARGETS)


def test_targets_are_judged_and_never_enforced():
    targets = (
        Target("cell", "stacked", "lora Er", 1.03),
        Target("cell", "dense loop", "auto", 3.0, at_least=True),
        Target("cell", "stacked", "waits", 0),
        Target("not measured", "stacked", "waits", 0),
    )
    cell = {
        "times": {"stacked": [1.1], "lora Er": [1.0], "dense loop": [4.0], "auto": [1.0]},
        "counts": {"stacked": {"waits": 0}},
    }
    lines = check({"cell": cell}, targets)
    assert [line["reached"] for line in lines] == [False, True, True]
    assert told(lines[0]).startswith("missed by 0.07")
    assert told(lines[2]) == "reached         cell: stacked, waits for the device ≤ 0: 0.00"


def test_whole_models():
    base = tiny_base(layers=1)
    step = bench_models.measure_step(base, 1, 60, (2, 8), MIXTURE)
    assert all(len(values) == 1 for values in step["times"].values())
    assert all(not name.startswith("lora") for name, _ in base.named_parameters())
    decoding = bench_models.measure_decoding(base, 1, 60, MIXTURE, new=3)
    assert decoding["tokens"] == 3
    tokens = bench_models.decoding(base, "auto", *MIXTURE, 5)()
    assert len(tokens) == 5
    assert tokens == bench_models.decoding(base, "stacked", *MIXTURE, 5)()


def test_decoding_goes_on_from_the_cache():
    base = tiny_base(layers=1)
    torch.manual_seed(3)
    tokens = bench_models.decoding(base, "frozen", *MIXTURE, 4)()
    ids = torch.arange(bench_models.PROMPT).unsqueeze(0) + 5
    for token in tokens:
        assert base(input_ids=ids).logits[0, -1].argmax() == token
        ids = torch.cat([ids, torch.tensor([[token]])], 1)


def test_telemetry_is_recorded_only_where_it_is_on():
    found = bench_models.measure_telemetry(CELL, 2, 60)
    assert set(found["times"]) == {"off", "on"}
    assert found["recorded"] > 0


def test_the_part_for_a_gpu_runs_on_any_device():
    config = bench_models.QWEN_1_8B | {
        "vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 2,
    }  # fmt: skip
    found = bench_models.measure_gpu(1, 60, (1, 8), config, "cpu")
    assert set(found["times"]) == set(found["memory"]) == set(bench_models.GPU_DESIGNS)


def test_table_and_figure():
    cell = measure_layers(CELL, 2, 60, ("frozen", "lora Er", "dense loop", "auto"))
    lines = table("a cell", cell)
    assert lines[0] == "a cell, 12 tokens  (2 rounds)"
    assert [line.split()[0] for line in lines[2:]] == ["frozen", "lora", "dense", "auto"]
    drawn = figure({"a cell": cell, "another": cell, "third": cell})
    assert [axis.get_title() for axis in drawn.axes[:3]] == ["a cell", "another", "third"]
    with pytest.raises(ValueError, match="leave --only out"):
        figure({})


def test_the_command_writes_all_three_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "CELLS", (CELL,))
    arguments = ["--quick", "--rounds", "1", "--only", "layers", "--out", str(tmp_path)]
    assert bench.main(arguments) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bench.json",
        "bench.png",
        "bench.txt",
    ]
    content = json.loads((tmp_path / "bench.json").read_text())
    assert set(content["cells"][CELL.name]["times"]) == set(DESIGNS)
    assert content["machine"]["threads"] == 1
    assert "stacked" in capsys.readouterr().out
    assert bench.main(["--only", "layers", "--cells", "none", "--out", str(tmp_path)]) == 1


def test_help_names_the_options(capsys):
    with pytest.raises(SystemExit) as ended:
        bench.main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--quick", "--out", "--only", "telemetry"))
