"""What the benchmark of the search asks is answered alike by all that it compares."""

from collections.abc import Iterator

import pytest

from tests.search import measure


@pytest.fixture
def thaw() -> Iterator[None]:
    """Give back to the collector what the measurement keeps from it."""
    import gc

    yield
    gc.unfreeze()


def test_all_find_the_same(database_url: str, thaw: None) -> None:
    """The index, GIN and the fallback find as many songs, some questions many and some none."""
    measure.fill(database_url, 2_000, 60)
    asked = measure.questions(2_000, 60, 80)

    index = measure.in_process(database_url, 60, asked)

    assert index.totals == measure.in_gin(database_url, 2_000, 60, asked).totals
    assert index.totals == measure.in_fallback(database_url, 60, asked).totals
    assert 60 == len(index.millis)
    assert max(index.totals) > 300
    assert min(index.totals) < 10
