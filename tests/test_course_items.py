"""Every question, experiment, warning and open end of the papers is treated in some cell."""

from medmoe_lite.course import build
from medmoe_lite.course.items import ITEMS, covered


def test_every_item_of_the_papers_is_treated():
    found = covered(build.sources())
    assert sorted(set(ITEMS) - set(found)) == []


def test_no_cell_names_an_item_that_does_not_exist():
    found = covered(build.sources())
    assert {item: found[item] for item in set(found) - set(ITEMS)} == {}


def test_items_are_named_on_the_cells_that_treat_them(tmp_path):
    source = tmp_path / "42_x.py"
    source.write_text('# %% [markdown] id="a" seeds="MING.fail-2 X.y"\n# text\n# %% id="b"\n1\n')
    assert covered([source]) == {"MING.fail-2": ["42_x/a"], "X.y": ["42_x/a"]}
