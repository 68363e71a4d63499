"""Imports point down only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("sql", "tags", "migrator", "cache", "monitoring", "service")

#: Package → our packages that it may import. The law of docs/design.md.
ALLOWED = {
    "sql": set(),
    "tags": set(),
    "cache": set(),
    "monitoring": {"sql"},
    "migrator": {"sql", "tags", "monitoring"},
    "service": {"sql", "tags", "cache", "monitoring"},
}

#: Layers inside migrator, lowest first; a file imports only from layers at or below its own.
MIGRATOR_LAYERS = (
    {"errors", "states", "events", "digest", "stop", "chunk_size", "text_lines", "token_keys"}
    | {"controls", "loading"},
    {"source", "divisible", "retry", "migration", "request", "erasures"} | {"accounting"},
    {"run_store", "vocabulary", "preflight", "links", "guards", "catalog", "aside", "table_rows", "locked_rows"}
    | {"cleanup_record", "gone_source"},
    {
        "lease",
        "chunk",
        "throttle",
        "songs",
        "vocabulary_files",
        "pure_step",
        "themes_image",
        "snapshots_image",
        "node_persist",
    }
    | {"token_rotation", "claims"}
    | {"themes_mirror", "mirroring", "themes_mirror_back", "mirror_late"}
    | {"bisection", "outage"},
    {"worker", "worker_process", "work", "removal", "set_controls", "jobs", "job_queue", "measures"},
    {"migrations", "validation", "choice", "outcome"},
    {"repair", "vocabulary_preview", "checkup"},
    {"runner", "rollback", "registry", "progress", "personal_data"} | {"cleanup"},
    {"dry_run", "join"},
    {"report", "rehearsing"},
    {"certificate"},
    {"commands"},
    {"cli"},
)


def imports(path: Path) -> set[str]:
    """Return the dotted names that a file imports from our packages."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {node.module} if node.module not in PACKAGES else {f"{node.module}.{a.name}" for a in node.names}
    return {name for name in found if name.split(".")[0] in PACKAGES}


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_lies_below(package: str) -> None:
    """A package imports itself and the packages that ALLOWED names."""
    foreign = {
        (str(path.relative_to(ROOT)), name)
        for path in (ROOT / package).rglob("*.py")
        for name in imports(path)
        if name.split(".")[0] != package and name.split(".")[0] not in ALLOWED[package]
    }

    assert set() == foreign


def test_migrator_layers_point_down() -> None:
    """Inside migrator a module imports only from its own layer or a lower one, and every module has a layer."""
    level = {name: number for number, names in enumerate(MIGRATOR_LAYERS) for name in names}
    wrong = set()
    for path in (ROOT / "migrator").rglob("*.py"):
        own = path.relative_to(ROOT / "migrator").parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "migrator" and len(parts) > 1 and level[parts[1]] > level[own]:
                wrong.add((own, parts[1]))

    assert set() == wrong


def test_layers_are_checked(tmp_path: Path) -> None:
    """The collector sees `import a.b`, `from a import b` and `from a.b import c`."""
    file = tmp_path / "x.py"
    file.write_text("import sql.errors\nfrom cache import store\nfrom migrator.cli import main\nimport os\n")

    assert {"sql.errors", "cache.store", "migrator.cli"} == imports(file)


def test_sql_strings_live_in_sql() -> None:
    """No Python file outside sql/ and the tests holds an SQL statement."""
    verbs = ("select ", "insert into", "update ", "delete from", "create table", "alter table", "drop ")
    found = []
    for package in PACKAGES:
        if package == "sql":
            continue
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text("utf-8"))
            docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            for node in ast.walk(tree):
                is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
                if is_text and node.value.lower().lstrip().startswith(verbs):
                    found.append((str(path.relative_to(ROOT)), node.lineno, node.value[:40]))

    assert [] == found


def test_only_retry_retries_and_only_errors_wraps() -> None:
    """Transactions are tried again in one file, torn reads of files in another; psycopg's errors are translated in one."""
    retrying = [p for package in PACKAGES for p in (ROOT / package).rglob("*.py") if "from tenacity" in p.read_text()]
    wrapping = [
        p
        for package in PACKAGES
        if package != "sql"
        for p in (ROOT / package).rglob("*.py")
        if "psycopg.Error" in p.read_text()
    ]

    assert [ROOT / "migrator" / "node_persist" / "reading.py", ROOT / "migrator" / "retry.py"] == sorted(retrying)
    assert [] == wrapping
