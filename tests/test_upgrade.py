"""Files of every released version load and say the same; files of later versions are refused."""

import json
import re
import shutil
import warnings
from pathlib import Path

import pytest
import torch
import upgrade_fixture as made
from peft import AutoPeftModelForCausalLM, PeftConfig, PeftModel

import medmoe_lite
from medmoe_lite.lab import progress
from medmoe_lite.method.config import FORMAT
from medmoe_lite.train import checkpoint, run_card

RELEASES = sorted(path.name for path in made.FIXTURES.iterdir() if path.is_dir())


def change(folder: Path, **fields) -> Path:
    """Set fields of an adapter's configuration, its own digests left out."""
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "written": None, **fields}))
    return folder


@pytest.fixture
def adapter(tmp_path):
    """A copy of the newest release's adapter."""
    return Path(shutil.copytree(made.FIXTURES / RELEASES[-1] / "adapter", tmp_path / "adapter"))


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDMOE_HOME", str(tmp_path))
    return tmp_path / "progress.json"


def test_there_is_a_fixture_of_this_version():
    assert medmoe_lite.__version__ in RELEASES or medmoe_lite.__version__ > RELEASES[-1]


@pytest.mark.parametrize("release", RELEASES)
def test_an_adapter_of_a_release_says_what_it_said(release):
    folder = made.FIXTURES / release
    model = PeftModel.from_pretrained(made.base(), str(folder / "adapter")).eval()
    expected = torch.tensor(json.loads((folder / "logits.json").read_text()))
    assert torch.allclose(torch.tensor(made.logits(model)), expected, atol=1e-4)
    assert (expected - torch.tensor(made.logits(made.base()))).abs().max() > 1e-3


def test_a_configuration_without_later_fields_means_their_defaults(adapter):
    kept = json.loads((adapter / "adapter_config.json").read_text())
    for name in ("general_group", "rslora", "merge", "router_noise", "molora_format", "top_p"):
        kept.pop(name)
    (adapter / "adapter_config.json").write_text(json.dumps({**kept, "written": None}))
    config = PeftConfig.from_pretrained(str(adapter))
    assert (config.merge, config.general_group, config.molora_format) == ("product", "routed", 1)


@pytest.mark.parametrize("number", [FORMAT + 1, 99, "2027"])
def test_an_adapter_of_a_later_version_is_refused(adapter, number):
    change(adapter, molora_format=number, a_field_of_tomorrow=[1, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=r"written by a newer medmoe_lite .*pip install"):
            PeftModel.from_pretrained(made.base(), str(adapter))


def test_a_later_adapter_is_refused_through_auto_classes_too(adapter):
    change(adapter, molora_format=FORMAT + 1, base_model_name_or_path="nano")
    with pytest.raises(ValueError, match="newer medmoe_lite"):
        AutoPeftModelForCausalLM.from_pretrained(str(adapter))


@pytest.mark.parametrize("release", RELEASES)
def test_progress_of_a_release_is_read_and_goes_on(home, release):
    shutil.copy(made.FIXTURES / release / "progress.json", home)
    before = json.loads(home.read_text())
    assert progress.read("exercises") == before["exercises"]
    progress.write("exercises", "4.1", "solved")
    after = json.loads(home.read_text())
    assert after.pop("format") == progress.FORMAT
    assert after.pop("exercises") == {**before["exercises"], "4.1": "solved"}
    assert after == {k: v for k, v in before.items() if k not in ("exercises", "format")}


@pytest.mark.parametrize("number", [progress.FORMAT + 1, "two", None])
def test_progress_of_a_later_version_is_left_alone(home, number):
    text = json.dumps({"format": number, "exercises": {"1.1": {"state": "solved"}}})
    home.write_text(text)
    with pytest.warns(progress.NewerProgress, match=r"newer version of the kit .*pip install"):
        assert progress.read("exercises") == {}
    with pytest.warns(progress.NewerProgress):
        progress.write("exercises", "1.1", "solved")
    assert home.read_text() == text


def test_later_runs_are_refused(tmp_path):
    (tmp_path / run_card.NAME).write_text(json.dumps({"format": run_card.FORMAT + 1}))
    with pytest.raises(ValueError, match="newer version of this package"):
        run_card.read(tmp_path)
    folder = tmp_path / "checkpoint-000003"
    folder.mkdir()
    state = {"files": {}, "format": checkpoint.FORMAT + 1, "step": 3}
    (folder / checkpoint.STATE).write_text(json.dumps(state))
    with pytest.raises(checkpoint.DamagedCheckpoint, match="newer version of this package"):
        checkpoint.read_state(folder)


def test_the_page_quotes_what_is_said(root):
    page = (root / "docs/upgrade.md").read_text(encoding="utf-8")
    source = "".join(
        (root / "medmoe_lite" / name).read_text(encoding="utf-8")
        for name in ("method/config.py", "method/written.py", "train/run_card.py")
    )
    quoted = re.findall(r"\*([a-z][^*]+)\*", " ".join(page.split()))
    assert len(quoted) >= 3
    assert [words for words in quoted if words not in source] == []
