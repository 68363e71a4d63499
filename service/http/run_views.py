"""Between the shapes of runs over HTTP and what is stored: a run as it is told, controls as they are kept."""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from service.http import run_shapes as shapes
from service.http.problems import Fault, invalid
from service.runs import reading


def assignments(controls: shapes.ControlSettings) -> dict[str, str]:
    """Return controls by key as `segue set` takes them.

    Raises:
        Problem: a limit's second level is not above its first.
    """
    found: dict[str, str] = {}
    if controls.nice is not UNSET:
        found["nice"] = f"{controls.nice:g}"
    if controls.chunk_ms is not UNSET:
        found["chunk-ms"] = str(controls.chunk_ms)
    if controls.workers is not UNSET:
        found["workers"] = "all" if controls.workers is None else str(controls.workers)
    for load in shapes.LIMITS:
        limit = getattr(controls, f"throttle_{load}")
        if limit is UNSET:
            continue
        if limit is None:
            found[f"throttle-{load}"] = "off"
            continue
        wait, stop = f"{limit.wait:g}", None if limit.stop is None else f"{limit.stop:g}"
        if stop is not None and float(stop) <= float(wait):
            raise invalid(Fault("must be above wait", pointer=f"/controls/throttle_{load}/stop"))
        found[f"throttle-{load}"] = wait if stop is None else f"{wait}:{stop}"
    return found


def shown(run_id: int, seen: reading.Seen) -> shapes.RunStatus:
    """Return a run as it is told over HTTP."""
    run, job = seen.run or {}, seen.job
    assert seen.run or job
    seconds = run.get("work_seconds", 0.0)
    if run.get("is_held") and run["held_seconds"]:
        seconds += run["held_seconds"]
    processed = run.get("row_count", 0)
    return shapes.RunStatus(
        run_id=run_id,
        migration=run["migration"] if run else job["migration"] if job else "",
        status=seen.status,
        rows=shapes.RunRows(**seen.progress()["rows"]),
        elements=shapes.RunElements(
            run.get("elements", 0), *(run.get(name, 0) for name in ("linked", "merged", "blank", "quarantined"))
        ),
        validated_equal=run.get("validated_equal"),
        seconds=round(seconds, 3),
        rows_per_second=round(processed / seconds, 1) if seconds else 0.0,
        error=run.get("error") or (job["error"] if job else None),
        errors=tuple(shapes.RunError(row["key"], row["reason"]) for row in seen.errors),
        settings=dict(run["settings"] if run else job["settings"] if job else {}),
        controls=run.get("controls", {}),
        throttled=run.get("throttled"),
        held_by=run.get("holder") if run.get("is_held") else None,
        request=run.get("request"),
        started_at=run.get("created_at"),
        checkpoint_at=run.get("checkpoint_at"),
        finished_at=run.get("finished_at"),
        job=None if job is None else _job(job),
    )


def _job(job: Mapping[str, Any]) -> shapes.RunJob:
    names = [name for name in shapes.RunJob.__struct_fields__ if name != "worker"]
    return shapes.RunJob(**{name: job[name] for name in names}, worker=job["holder"])
