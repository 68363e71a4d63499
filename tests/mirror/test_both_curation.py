"""A curator's acts under `--mirror both` are people's edits: the legacy arrays say what the tags say after each."""

from typing import Any

from tests.curation.conftest import own_desk  # noqa: F401 - a fixture
from tests.curation.desk import THEMES, song, tag_id
from tests.mirror.test_both import BOTH, unwritten
from tests.mirror.test_forward import tags_of


def test_a_curators_acts(own_desk, songs, segue) -> None:  # noqa: F811
    """A merge and its undo leave the arrays as they are; a new name is in them, and the old one means the same still."""
    desk = own_desk
    songs([(song(number), themes) for number, themes in THEMES.items()])
    assert 0 == segue(*BOTH).code

    def arrays() -> dict[int, Any]:
        return {key.int: themes for key, themes in desk.connection.execute("SELECT id, themes FROM songs").fetchall()}

    def proven() -> bool:
        said = segue("validate", "--repair")  # a merge changes how many elements are linked and merged
        assert said.code == 0, said.stdout
        return unwritten(desk.connection) == []

    merged = desk.merge(tag_id(desk, "joy"), tag_id(desk, "hope"))
    assert (THEMES, True) == (arrays(), proven())
    assert {"hope"} == tags_of(desk.connection, song(2))
    desk.undo(merged.log_id)
    assert (THEMES, True) == (arrays(), proven())
    desk.rename(tag_id(desk, "hope"), "Good Hope")
    assert (["Good Hope", "Xmas"], ["Good Hope", "Joy"], True) == (arrays()[1], arrays()[2], proven())
    desk.connection.execute("UPDATE songs SET themes = '{Hope}' WHERE id = %s", [song(8)])
    assert {"good hope"} == tags_of(desk.connection, song(8))
    desk.rename(tag_id(desk, "zest"), "ZEST")
    assert (THEMES[3], True) == (arrays()[3], proven())

    before = arrays()
    assert segue("rollback").code in (0, 7)
    assert before == arrays()
