"""A learner stops a training: one sentence, no traceback, and the cell can be run again."""

import pytest

from medmoe_lite.lab.show import stop_quietly

CELL = "import time\nprint('on', flush=True)\nfor _ in range(600):\n    time.sleep(0.1)"


def test_an_interrupted_cell_says_one_sentence(capsys):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    stop_quietly(shell)
    result = shell.run_cell("raise KeyboardInterrupt")
    said = capsys.readouterr().out
    assert "You stopped this cell" in said
    assert "Traceback" not in said
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    assert shell.run_cell("1 + 1").result == 2
    assert not shell.run_cell("missing").success
    assert "NameError" in capsys.readouterr().out


@pytest.fixture(scope="module")
def kernel():
    manager = pytest.importorskip("jupyter_client.manager")
    started, client = manager.start_new_kernel(kernel_name="python3")
    yield started, client
    client.stop_channels()
    started.shutdown_kernel(now=True)


def test_an_interrupt_of_a_kernel_leaves_no_traceback(kernel):
    started, client = kernel
    client.execute_interactive("from medmoe_lite.lab.show import begin\nbegin()", timeout=120)
    seen = []

    def note(message):
        seen.append(message)
        if message["msg_type"] == "stream" and "on" in message["content"]["text"]:
            started.interrupt_kernel()

    reply = client.execute_interactive(CELL, output_hook=note, timeout=120)
    assert reply["content"]["status"] == "error"
    kinds = [message["msg_type"] for message in seen]
    assert "error" not in kinds
    shown = [m["content"]["data"]["text/plain"] for m in seen if m["msg_type"] == "display_data"]
    assert any("You stopped this cell" in text for text in shown)
    again = client.execute_interactive("1 + 1", output_hook=lambda _: None, timeout=60)
    assert again["content"]["status"] == "ok"
