-- name: read_run
-- A run with the sums of its checkpoints, and whether a live process has it.
SELECT
    run.id,
    run.migration,
    run.status,
    run.settings,
    run.controls,
    run.throttled,
    run.total_rows,
    run.created_at,
    run.finished_at,
    run.work_seconds,
    run.error,
    run.holder,
    run.request,
    (run.validation ->> 'equal')::boolean AS validated_equal,
    run.lease_token IS NOT NULL AND segue.is_alive(run.lease_until, run.backend_pid, run.backend_start) AS is_held,
    extract(epoch FROM clock_timestamp() - run.held_since)::float8 AS held_seconds,
    done.*
FROM segue.runs AS run
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(part.row_count), 0)::bigint AS row_count,
        coalesce(sum(part.quarantined_rows), 0)::bigint AS quarantined_rows,
        coalesce(sum(part.elements), 0)::bigint AS elements,
        coalesce(sum(part.linked), 0)::bigint AS linked,
        coalesce(sum(part.merged), 0)::bigint AS merged,
        coalesce(sum(part.blank), 0)::bigint AS blank,
        coalesce(sum(part.quarantined), 0)::bigint AS quarantined,
        max(part.checkpoint_at) AS checkpoint_at
    FROM segue.partitions AS part
    WHERE part.run_id = run.id
) AS done
WHERE run.id = %(run_id)s

-- name: list_events_after
SELECT id, at, actor, kind, from_status, to_status, detail
FROM segue.events
WHERE run_id = %(run_id)s AND id > %(after)s
ORDER BY id
LIMIT %(most)s

-- name: lock_run
-- Events of a run are written under its lock, so that their numbers are in the order of commits.
SELECT id, migration, status, settings FROM segue.runs WHERE id = %(run_id)s FOR UPDATE
