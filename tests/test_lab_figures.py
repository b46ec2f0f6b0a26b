"""The README's picture is drawn from the numbers it is given."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from medmoe_lite.lab import figures, moving


def routing():
    shares = [[[0.5, 0.5], [0.5, 0.5]], [[0.9, 0.1], [0.2, 0.8]]]
    run = {"arm": "molora", "base": 0, "seed": 0, "places": ["0 gate_proj", "1 up_proj"]}
    run["trained"] = {"router_bits": [0.0, 0.3], "shares": shares}
    return {"settings": {"families": ["json", "general"]}, "runs": [{"arm": "task"}, run]}


def curves():
    def run(seed, arm, facts, formats):
        return {"arm": arm, "seed": seed, "steps": [0, 50, 100], "heldout": facts,
                "formats": [0.0, 0.2, formats]}  # fmt: skip

    return {
        "runs": [
            run(0, "both learn", [0.8, 0.5, 0.2], 1.0),
            run(1, "both learn", [1.0, 0.5, 0.4], 0.8),
            run(0, "frozen", [0.8, 0.7, 0.6], 0.9),
            run(1, "frozen", [1.0, 0.9, 0.8], 0.9),
            run(0, "l1 0.01", [1.0, 1.0, 1.0], 0.9),
        ]
    }


def test_the_router_that_tells_most():
    assert figures.best_router(routing()["runs"][1]) == 1


def test_the_arms_that_are_recorded():
    steps, lines = figures.second_lesson(curves())
    assert steps == [0, 50, 100]
    assert [line.words.split()[0] for line in lines] == ["the", "everything"]
    assert lines[1].facts.tolist() == [[0.8, 0.5, 0.2], [1.0, 0.5, 0.4]]
    assert lines[1].formats == pytest.approx(0.9)


def test_the_words_say_the_numbers():
    text = figures.words(routing(), curves())
    assert "(layer 1, up_proj)" in text
    assert "json 90% expert 1; general 80% expert 2" in text
    assert "2 seeds: of new facts, 90% are answered at first; after 100 steps" in text
    assert "everything goes on learning: 30% (and 90% of the formats learned)" in text


def test_half_of_the_lesson_draws_half_of_the_lines():
    import matplotlib.pyplot as plt

    figure, _ = figures.readme(routing(), curves(), router=0, part=0.5)
    left, right = figure.axes[:2]
    assert "layer 0, gate_proj" in left.get_xlabel()
    assert np.allclose(left.images[0].get_array(), [[50, 50], [50, 50]])
    assert max(float(line.get_xdata()[-1]) for line in right.lines) == 50
    plt.close(figure)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with both recordings."""
    (tmp_path / "recorded").mkdir()
    for name, content in {"03_routing": routing(), "07_curves": curves()}.items():
        (tmp_path / "recorded" / f"{name}.json").write_text(json.dumps(content))
    monkeypatch.setattr("medmoe_lite.lab.recorded.data_dir", lambda: tmp_path)
    return tmp_path / "recorded"


def test_the_command_writes_a_still_and_a_moving_picture(data, tmp_path, capsys):
    assert figures.main(["--out", str(tmp_path / "new")]) == 0
    found = {p.name: p for p in (tmp_path / "new").iterdir()}
    assert set(found) == {"readme.png", "readme.gif"}
    assert capsys.readouterr().out.startswith("readme.png, readme.gif: Left")
    still, film = Image.open(found["readme.png"]), Image.open(found["readme.gif"])
    assert film.size == still.size
    assert film.n_frames == 3  # two routers, and the whole picture
    assert "loop" not in film.info, "it plays once"


def test_without_recordings_it_says_what_to_type(data, tmp_path):
    (data / "03_routing.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"lab\.record 03"):
        figures.main(["--out", str(tmp_path)])


def test_a_film_ends_on_its_last_picture_in_its_own_colours():
    def plain(colour):
        stream = io.BytesIO()
        Image.new("RGB", (8, 8), colour).save(stream, format="PNG")
        return stream.getvalue()

    film = Image.open(io.BytesIO(moving.gif([plain("#ff0000"), plain("#00ff00")], 1.0)))
    film.seek(1)
    assert film.convert("RGB").getpixel((4, 4)) == (0, 255, 0)
    with pytest.raises(ValueError, match="two pictures"):
        moving.gif([plain("#ff0000")])
