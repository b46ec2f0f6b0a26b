"""Every test runs on one thread, without a network and without a screen."""

import os

# Before anything imports torch, transformers or matplotlib: they read these once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["MEDMOE_ENERGY"] = "0"  # codecarbon looks at the machine for seconds
os.environ["MEDMOE_BASE"] = "nano"  # a machine with a card and a cached 1.8B trains nano, too

from pathlib import Path

import pytest

collect_ignore = ["stock_process.py"]  # run by another Python that must not see the package


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Two test processes on two cores must not fight for them."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory):
    """What a test writes without naming a place goes to a folder of its own."""
    if "MEDMOE_HOME" not in os.environ:
        os.environ["MEDMOE_HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout's top folder."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real public files; the test is skipped where it is not given."""
    folder = os.environ.get("MEDMOE_REALDATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("MEDMOE_REALDATA is unset: no folder of real public files here")
    return Path(folder)
