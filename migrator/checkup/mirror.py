"""Checks of mirrors: triggers that are missing or do nothing, and songs that came late."""

from migrator.checkup.findings import Finding, ok, warning
from migrator.checkup.patient import Patient
from sql.database import Transaction
from sql.mirrors import BACK


def mirror(_patient: Patient, transaction: Transaction) -> list[Finding]:
    """Whether the mirrors that runs have work, and are up to date."""
    triggers = transaction.all("mirror_state.list_triggers")
    unwritten = {row["run_id"]: row["found"] for row in transaction.all("mirror_back_parts.count_late")}
    late = {row["run_id"]: row["found"] for row in transaction.all("mirror_state.count_late")}
    found, said = [], []
    for run in transaction.all("mirror_state.list_mirrored_runs"):
        again = f"segue migrate {run['migration']} --mirror {run['mirror']}"
        if not triggers:
            found.append(warning("mirror", f"run {run['id']} has a mirror and its triggers are gone", again))
        elif run["mirror"] == "both" and not any(row["name"].startswith(BACK) for row in triggers):
            problem = f"run {run['id']} mirrors both ways and the triggers on links and tags are gone"
            found.append(warning("mirror", problem, again))
        for row in triggers:
            name = f"{row['name']} on {row['schema']}.{row['table']}"
            if not row["is_enabled"]:
                found.append(
                    warning(
                        "mirror",
                        f"{name} is disabled, so users' writes do not reach the other side",
                        f"{row['fix']}; then {again}",
                    )
                )
        fix = f"segue validate {run['id']}" if run["status"] == "complete" else f"segue resume {run['id']}"
        if count := unwritten.get(run["id"]):
            problem = (
                f"run {run['id']}: {count} edits of links are not in the legacy column; segue.mirror_edits says why"
            )
            found.append(warning("mirror", problem, fix))
        if count := late.get(run["id"]):
            found.append(
                warning(
                    "mirror", f"run {run['id']}: {count} writes were not carried over in their own transactions", fix
                )
            )
        said.append(f"run {run['id']}: {run['mirror']}")
    return found or ok("mirror", f"up to date: {', '.join(said)}" if said else "none")
