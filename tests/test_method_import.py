"""PEFT learns the method whatever is imported first, and the import itself is light."""

import subprocess
import sys

import pytest

import medmoe_lite
from medmoe_lite.method import register


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_imports_nothing_heavy():
    heavy = "{'torch', 'peft', 'transformers', 'numpy', 'matplotlib'}"
    assert run(f"import sys, medmoe_lite; print({heavy} & set(sys.modules))") == "set()"


def test_peft_first_and_the_package_twice():
    """The other order is what test_method.py's second process does."""
    out = run(
        "import peft, importlib, medmoe_lite\n"
        "importlib.reload(medmoe_lite)\n"
        "from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING as known\n"
        "print(known['MOLORA'].__name__)"
    )
    assert out == "MoLoraConfig"


def test_every_public_name_exists():
    for name in medmoe_lite.__all__:
        assert getattr(medmoe_lite, name) is not None
    assert set(medmoe_lite.__all__) <= set(dir(medmoe_lite))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        medmoe_lite.nothing  # noqa: B018


def test_another_package_with_the_same_name_is_refused(monkeypatch):
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    class Other:
        pass

    monkeypatch.setitem(PEFT_TYPE_TO_CONFIG_MAPPING, "MOLORA", Other)
    with pytest.raises(RuntimeError, match="already has a method MOLORA"):
        register()
