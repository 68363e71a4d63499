"""What the serving side knows of migrations without importing them is what the migrator means."""

from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator import registry
from migrator.controls import Controls
from migrator.states import RESUMABLE, TRANSITIONS
from service.http import run_shapes as shapes
from service.http.problems import Problem
from service.http.run_views import assignments
from service.runs import reading, steering

numbers = st.floats(0, 1e9)
limits = st.none() | st.builds(shapes.LoadLimit, wait=numbers, stop=st.none() | numbers)
loads = {f"throttle_{load}": limits for load in shapes.LIMITS}
settings = {
    "nice": st.floats(0, 100),
    "chunk_ms": st.integers(1, 60_000),
    "workers": st.none() | st.integers(1, 64),
    **loads,
}


@given(st.fixed_dictionaries({}, optional=settings))
def test_controls_mean_what_the_command_line_means(given_controls: dict[str, Any]) -> None:
    """Whatever is accepted here is understood by whoever reads the run's controls, with the same values."""
    wanted = msgspec.json.decode(
        msgspec.json.encode(shapes.ControlSettings(**given_controls)), type=shapes.ControlSettings
    )
    try:
        stored = assignments(wanted)
    except Problem:
        limits_given = [limit for limit in given_controls.values() if isinstance(limit, shapes.LoadLimit)]
        assert [each for each in limits_given if each.stop is not None and each.stop <= each.wait * 1.00001]
        return
    controls = Controls.of(stored)

    assert set(stored) == {name.replace("_", "-") for name in given_controls}
    assert "nice" not in stored or controls.nice == pytest.approx(wanted.nice, rel=1e-5, abs=1e-9)
    assert "workers" not in stored or controls.workers == wanted.workers
    for load in shapes.LIMITS:
        limit = given_controls.get(f"throttle_{load}", ...)
        if limit is None:
            assert load not in controls.limits
        elif limit is not ...:
            assert controls.limits[load].wait == pytest.approx(limit.wait, rel=1e-5, abs=1e-9)
            assert (controls.limits[load].stop is None) == (limit.stop is None)


def test_states_are_those_of_the_migrator() -> None:
    """What the serving side knows of states without importing the migrator is true."""
    assert {str(state) for state in RESUMABLE} == reading.RESUMABLE
    for to, before in steering._BEFORE.items():
        assert all(to in {str(after) for after in TRANSITIONS[state]} for state in TRANSITIONS if str(state) in before)


def test_seeded_migrations_are_those_that_ship(connection: psycopg.Connection[Any]) -> None:
    """What can be asked for before a worker has ever run is what every worker can do."""
    names = {name for (name,) in connection.execute("SELECT name FROM segue.migrations").fetchall()}
    assert set(registry.discover()) == names
