"""Modules are loaded without garbage collection, which is on again afterwards."""

import gc
import subprocess
import sys

import pytest

from migrator.loading import without_collection

_STARTED = """
import gc
collections = []
gc.callbacks.append(lambda phase, info: collections.append(phase))
import migrator.cli
migrator.cli.segue.get_command(None, "migrate")
print(collections.count("start"), gc.isenabled(), gc.get_freeze_count() > 100_000)
"""


def test_a_command_is_loaded_without_collections() -> None:
    """Only what click and the interpreter load themselves is collected; then the collector works, on what is new."""
    said = subprocess.run([sys.executable, "-c", _STARTED], capture_output=True, text=True, check=True).stdout
    collections, is_enabled, is_frozen = said.split()
    assert int(collections) < 100
    assert ("True", "True") == (is_enabled, is_frozen)


def test_collection_is_as_it_was() -> None:
    """After the block, also after one that raises; nothing is frozen when nothing was loaded."""
    frozen = gc.get_freeze_count()
    seen = []

    def load() -> None:
        with without_collection():
            seen.append(gc.isenabled())
            raise ImportError("no such module")

    with pytest.raises(ImportError, match="no such module"):
        load()
    assert [False] == seen
    assert gc.isenabled()
    assert frozen == gc.get_freeze_count()
    gc.disable()
    try:
        with without_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
