"""A machine whose wall clock jumps by weeks, all the time: leases rest on the server's clock, durations on one that cannot jump."""

import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.crash.conftest import wait_until
from tests.crash.machines import shared_image
from tests.crash.test_join import JOIN, LEAD, SLOWLY, clean, look  # noqa: F401 - fixtures


@pytest.fixture
def jumping(tmp_path) -> dict[str, str]:
    """The environment of a process with such a clock."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("NOT TESTED: there is no C compiler to make a clock that jumps")
    library = tmp_path / "clock.so"
    source = Path(__file__).with_name("jumping_clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    environment = {"LD_PRELOAD": str(library)}
    script = "import time; a = {round(time.time() / 1e6) for _ in range(60) if not time.sleep(0.01)}; print(len(a))"
    said = subprocess.check_output([sys.executable, "-c", script], env={**os.environ, **environment})
    assert int(said) > 1, "the clock of the test jumps"
    return environment


def test_who_leads_has_a_jumping_clock(clean, jumping, start, look, segue, segue_process, database_url) -> None:  # noqa: F811
    """It keeps its lease, shares with a joiner, nobody else may take the run, no time that is stored is its own."""
    before = look("SELECT clock_timestamp()")
    leader = segue_process(*LEAD, *SLOWLY, env=jumping)
    wait_until(lambda: look("SELECT status = 'migrating' FROM segue.runs"), "the run is under way")
    joiner = start("bob", *JOIN)
    wait_until(lambda: look("SELECT count(*) FROM segue.workers"), "the other has joined")
    assert 5 == segue("migrate").code
    (run,) = segue("status", "--json").json["runs"]
    assert 2 == len(run["workers"])
    code, joined, _ = joiner.end()
    out, said = leader.communicate(timeout=60)
    assert [4, 4] == [code, leader.returncode], said
    body = json.loads(out.splitlines()[-1])
    assert 0 < body["seconds"] < 60
    assert [(False, False), (True, False)] == [(one["joined"], one["resumed"]) for one in (body, joined)]
    kinds = look("SELECT array_agg(DISTINCT kind ORDER BY kind) FROM segue.events")
    assert {"set", "status", "join", "cut"} >= set(kinds), "nobody was taken for dead, nothing was taken over"
    assert look("SELECT bool_and(at BETWEEN %s AND clock_timestamp()) FROM segue.events", before)
    assert look("SELECT created_at FROM segue.runs") - before < timedelta(seconds=60)
    assert clean == shared_image(database_url)
