"""The wheel carries everything that the code reads."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_wheel_holds_all_packages_and_their_data(tmp_path: Path) -> None:
    """Every .py, .sql and .csv file of the six packages is in the wheel, and nothing of tests or scripts is."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = ("sql", "tags", "migrator", "cache", "monitoring", "service")
    due = {
        str(path.relative_to(ROOT))
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".sql", ".csv", ".typed"}
    }

    assert set() == due - names
    assert set() == {name.split("/")[0] for name in names} - {*packages, "segue-0.1.0.dist-info"}
