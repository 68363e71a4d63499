"""The themes migration on small, nasty sources."""

import uuid

import pytest

A, B, C = (str(uuid.UUID(int=number)) for number in (1, 2, 3))


@pytest.mark.system
def test_migrate_links_every_element_or_says_why(segue, songs, links) -> None:
    """Elements become links, merge, are blank, or go to quarantine; the four counts add up."""
    songs([(A, ["Xmas", " christmas ", None, "", "Hope"]), (B, None), (C, ["x" * 51, "HOPE", "hope\u200b"])])

    result = segue("migrate", "--json")

    assert 4 == result.code
    assert {"total": 8, "linked": 3, "merged": 2, "blank": 2, "quarantined": 1} == result.json["elements"]
    assert [(A, "christmas"), (A, "hope"), (C, "hope")] == links()
    assert result.json["digest"]["equal"] is True


@pytest.mark.system
def test_rollback_restores_every_byte(segue, songs, snapshot) -> None:
    """After migrate and rollback the application's schema is byte-identical, and the second rollback is refused."""
    songs([(A, ["Xmas", "Hope"]), (B, ["Grace"])])
    before = snapshot()

    assert 0 == segue("migrate").code
    assert before != snapshot()
    assert 0 == segue("rollback").code

    assert before == snapshot()
    assert 5 == segue("rollback", "1").code
    assert before == snapshot()
