"""Files and names that mean harm: nothing of them may run, and nothing may leave its folder."""

from __future__ import annotations

import copy
import io
import json
import pickle
import shutil
import struct
import tarfile
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

from ..bases.load import load_base
from ..paths import PACKAGE
from ..tasks.unpack import ArchiveError, unpack
from ..train.recipe import Recipe, RecipeError
from ..train.stage import Stage
from .faults import Place, Seen, every, fault, refused
from .faults_child import base, digests, in_child, train, whole

NOT_RUN = "refused with the reason, and never read: what it would do is not done"


class Evil:
    """Unpickled, it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.mkdir, (self.mark,)


@fault(
    "hostile archives", "hostile", "zip and tar files with ../ names, absolute names, links, "
    "devices, the same name twice, a bomb", "refused as a whole, the member named; no file written",
)  # fmt: skip
def archives(place: Place) -> Seen:
    """Each is made here and unpacked as `medmoe data fetch` would."""
    found = []
    for name in ("../out.txt", "/tmp/out.txt", "a/../../out.txt", "C:\\out.txt", "con"):
        path = place.folder / "a.zip"
        with zipfile.ZipFile(path, "w") as made:
            made.writestr("good.txt", "good")
            made.writestr(name, "evil")
        found.append((name, _unpacked(place, path, name.replace("\\", "\\\\"))))
    path = place.folder / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("zeros", bytes(64 << 20))
    found.append(("bomb", _unpacked(place, path, "bomb")))
    path = place.folder / "link.zip"
    with zipfile.ZipFile(path, "w") as made:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        made.writestr(link, "/etc/passwd")
    found.append(("zip with a link", _unpacked(place, path, "a link or a device")))
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        path = place.folder / "a.tar"
        with tarfile.open(path, "w") as made_tar:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = kind, "/etc/passwd"
            made_tar.addfile(info, io.BytesIO())
        found.append((f"tar, type {kind!r}", _unpacked(place, path, "a link or a device")))
    return every(found)


def _unpacked(place: Place, path: Path, word: str) -> Seen:
    target = place.folder / "unpacked"
    seen = refused(lambda: unpack(path, target), ArchiveError, word, path.name)
    left = target.exists() or (place.folder / "out.txt").exists()
    path.unlink()
    return Seen(False, "something was written", seen.message) if left else seen


@fault(
    "hostile names", "hostile", "names of stages and adapters that are paths: /tmp/x, a/b, ..",
    "refused where the name stands; nothing is written outside the run's folder",
)  # fmt: skip
def names(place: Place) -> Seen:
    """In a recipe, in a stage, and of an adapter."""
    from peft import get_peft_model

    from ..method import MoLoraConfig

    text = (PACKAGE / "recipes" / "lora.yaml").read_text(encoding="utf-8")
    stage = Recipe.read("lora").stages("nano")[0].name
    found = []
    for name in ("/tmp/x", "a/b", "..", "a\\b"):
        path = place.folder / "mine.yaml"
        path.write_text(text.replace(f"\n  {stage}:", f"\n  {json.dumps(name)}:"), "utf-8")
        found.append((f"recipe {name}", refused(partial(Recipe.read, path), RecipeError, "name")))
        seen = refused(partial(Stage, name, {"a": 1.0}, 1), ValueError, "letters, digits")
        found.append((f"stage {name}", seen))
        attach = partial(get_peft_model, copy.deepcopy(base()[0]), adapter_name=name)
        config = MoLoraConfig(r=2, num_experts=2)
        seen = refused(partial(attach, peft_config=config), (ValueError, KeyError), "name")
        found.append((f"adapter {name}", seen))
    return every(found)


def _saved(folder: Path) -> None:
    """A small adapter of the embedded model."""
    from peft import get_peft_model

    from ..method import MoLoraConfig

    model = get_peft_model(copy.deepcopy(base()[0]), MoLoraConfig(r=2, num_experts=2))
    model.save_pretrained(str(folder))


@fault(
    "pickles", "hostile", "a pickle as adapter, as base, and every pickle that Trainer knows "
    "(training_args.bin, optimizer.pt, scheduler.pt, rng_state.pth) in a run's folder", NOT_RUN,
)  # fmt: skip
def pickles(place: Place) -> Seen:
    """Each pickle would make a folder."""
    from peft import PeftModel

    mark, put = place.folder / "executed", PeftModel.from_pretrained
    evil = pickle.dumps(Evil(mark))
    adapter = place.folder / "adapter"
    _saved(adapter)
    (adapter / "adapter_model.safetensors").unlink()
    (adapter / "adapter_model.bin").write_bytes(evil)
    found = [("adapter", refused(lambda: put(copy.deepcopy(base()[0]), adapter),
                                 ValueError, "adapter_model.bin", "pickle"))]  # fmt: skip
    folder = place.folder / "base"
    shutil.copytree(Path(base()[0].name_or_path), folder)
    for path in (folder / "SHA256SUMS", folder / "model.safetensors"):
        path.unlink()
    (folder / "pytorch_model.bin").write_bytes(evil)
    found.append(("base", refused(lambda: load_base(folder), ValueError, "safetensors")))
    out = place.folder / "run"
    shutil.copytree(whole(), out)
    expected = digests(out)
    strange = {n for n in expected if not n.endswith((".json", ".jsonl", ".safetensors"))}
    found.append(("files of a run", Seen(not strange, "none in a run", str(strange))))
    for near in (out, out / "alignment", *(out / "alignment").glob("checkpoint-*")):
        for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth",
                     "scaler.pt", "pytorch_model.bin"):  # fmt: skip
            (near / name).write_bytes(evil)
    again = in_child(train, str(out))
    same = {n: d for n, d in digests(out).items() if n in expected} == expected
    found.append(("Trainer's", Seen(same and not again.kind, "not read", again.text)))
    seen = every(found)
    return Seen(False, "a pickle was executed") if mark.exists() else seen


@fault(
    "hostile headers", "hostile", "safetensors whose header claims 2^63, 2^32 or 0 bytes, is no "
    "JSON, or points behind the end", "refused; the file is named, no memory is taken",
)  # fmt: skip
def headers(place: Place) -> Seen:
    """As weights of an adapter and of a base."""
    from peft import PeftModel

    adapter, folder = place.folder / "adapter", place.folder / "base"
    _saved(adapter)
    shutil.copytree(Path(base()[0].name_or_path), folder)
    (folder / "SHA256SUMS").unlink()
    outside = json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 1 << 40]}})
    cases = {
        "2^63": struct.pack("<Q", 1 << 63), "2^32": struct.pack("<Q", 1 << 32) + b"{}",
        "0": struct.pack("<Q", 0), "no JSON": struct.pack("<Q", 4) + b"{{{{",
        "outside": struct.pack("<Q", len(outside)) + outside.encode(),
        "deep": struct.pack("<Q", 100_000) + b"[" * 100_000,
    }  # fmt: skip
    found = []
    for name, content in cases.items():
        (adapter / "adapter_model.safetensors").write_bytes(content)
        (folder / "model.safetensors").write_bytes(content)
        found.append((f"adapter {name}", refused(
            lambda: PeftModel.from_pretrained(copy.deepcopy(base()[0]), adapter),
            ValueError, "adapter_model.safetensors", "damaged")))  # fmt: skip
        found.append((f"base {name}", refused(lambda: load_base(folder), ValueError, "base")))
    return every(found)


@fault(
    "hostile recipes and JSON", "hostile", "YAML tags that build objects, 100,000 brackets, a "
    "billion laughs, an alias of itself; JSON nested as deep", "refused with file and line; "
    "nothing is built",
)  # fmt: skip
def texts(place: Place) -> Seen:
    """Recipes, an adapter's settings, a checkpoint's state."""
    from ..method.written import check
    from ..train.checkpoint import DamagedCheckpoint, read_state

    mark = place.folder / "executed"
    whole = (PACKAGE / "recipes" / "lora.yaml").read_text(encoding="utf-8")
    laughs = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    path = place.folder / "mine.yaml"
    cases = {
        "tag in a value": whole.replace("paper: 16", "paper: !!python/name:os.mkdir ''", 1),
        "tag": f"title: !!python/object/apply:os.mkdir ['{mark}']\n",
        "deep": "title: " + "[" * 100_000, "laughs": laughs, "itself": "&a [*a]\n",
        "itself in a value": "title: t\ncite: c\nbases: &a {name: *a}\n",
    }  # fmt: skip
    found = []
    for name, text in cases.items():
        path.write_text(text, encoding="utf-8")
        found.append((name, refused(partial(Recipe.read, path), RecipeError, "mine.yaml:")))
    deep = '{"a":' * 100_000
    (place.folder / "adapter_config.json").write_text(deep, encoding="utf-8")
    found.append(("settings", refused(lambda: check(place.folder), ValueError, "damaged")))
    state = place.folder / "checkpoint-000001"
    state.mkdir()
    (state / "state.json").write_text(deep, encoding="utf-8")
    found.append(("state", refused(lambda: read_state(state), DamagedCheckpoint, "state.json")))
    seen = every(found)
    return Seen(False, "a tag was executed") if mark.exists() else seen
