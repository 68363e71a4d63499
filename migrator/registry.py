"""Finding migrations: every module of migrator/migrations, and of one more directory, that defines MIGRATION."""

import importlib
import importlib.util
import pkgutil
import traceback
from pathlib import Path
from types import ModuleType

from migrator import migrations
from migrator.errors import UnknownName, UsageError
from migrator.loading import without_collection
from migrator.migration import Migration


def discover(extra: Path | None = None) -> dict[str, Migration]:
    """Return all migrations by name.

    Args:
        extra: a directory of further migration files (`SEGUE_MIGRATIONS`).

    Raises:
        UsageError: two files define one name, or `extra` is not a directory.
    """
    with without_collection():
        modules = [
            importlib.import_module(f"{migrations.__name__}.{item.name}")
            for item in pkgutil.iter_modules(migrations.__path__)
        ]
    if extra is not None:
        if not extra.is_dir():
            raise UsageError(f"SEGUE_MIGRATIONS: {extra} is not a directory")
        modules += [_load(path) for path in sorted(extra.glob("*.py"))]
    found: dict[str, Migration] = {}
    for module in modules:
        migration = getattr(module, "MIGRATION", None)
        if not isinstance(migration, Migration):
            continue
        if migration.name in found:
            raise UsageError(f"two files define the migration {migration.name!r}; one is {module.__file__}")
        found[migration.name] = migration
    return found


def get(name: str, known: dict[str, Migration]) -> Migration:
    """Return one migration.

    Raises:
        UnknownName: with the nearest name.
    """
    if name not in known:
        raise UnknownName("migration", name, list(known))
    return known[name]


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"segue_migration_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be loaded as a migration")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = f", line {frames[-1].lineno}" if frames else ""
        raise UsageError(f"SEGUE_MIGRATIONS: {path}{line}: {type(error).__name__}: {error}") from error
    return module
