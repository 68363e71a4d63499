-- name: claim_partition
-- One row: how the run stands, and the partition that is the caller's from here on, or nulls when none is free.
-- The lock on the run serialises a claim with what closes the run or takes its lead, so that nothing is claimed after it.
WITH run AS MATERIALIZED (
    SELECT
        own.status,
        own.request,
        own.total_rows,
        own.lease_token = %(token)s::uuid OR EXISTS (
            SELECT FROM segue.workers AS worker WHERE worker.run_id = own.id AND worker.token = %(token)s::uuid
        ) AS is_ours,
        EXISTS (SELECT FROM segue.workers AS worker WHERE worker.run_id = own.id) AS is_shared
    FROM segue.runs AS own
    WHERE own.id = %(run_id)s
    FOR SHARE OF own
),

free AS MATERIALIZED (
    SELECT part.ordinal
    FROM segue.partitions AS part
    WHERE
        part.run_id = %(run_id)s
        AND NOT part.is_done
        AND part.ordinal <> ALL(%(busy)s::int[])
        AND EXISTS (SELECT FROM run WHERE run.status = 'migrating' AND run.request IS NULL AND run.is_ours)
        AND NOT EXISTS (
            SELECT FROM segue.holders AS other
            WHERE
                other.run_id = part.run_id AND other.token = part.lease_token
                AND other.token <> %(token)s::uuid AND other.is_live
        )
    ORDER BY part.ordinal
    LIMIT 1
    FOR UPDATE OF part SKIP LOCKED
),

claimed AS (
    UPDATE segue.partitions AS part SET lease_token = %(token)s
    FROM free
    WHERE part.run_id = %(run_id)s AND part.ordinal = free.ordinal
    RETURNING part.ordinal, part.chunk_size
)

SELECT
    run.status,
    run.request,
    run.is_ours,
    run.is_shared,
    run.total_rows,
    claimed.ordinal,
    claimed.chunk_size,
    total.unfinished,
    total.row_count,
    total.quarantined_rows
FROM run
LEFT JOIN claimed ON true
CROSS JOIN (
    SELECT
        count(*) FILTER (WHERE NOT part.is_done) AS unfinished,
        coalesce(sum(part.row_count), 0)::bigint AS row_count,
        coalesce(sum(part.quarantined_rows), 0)::bigint AS quarantined_rows
    FROM segue.partitions AS part
    WHERE part.run_id = %(run_id)s
) AS total

-- name: offer_partitions
-- The leader keeps as many as it has workers; the others are anybody's.
UPDATE segue.partitions AS part SET lease_token = NULL
WHERE
    part.run_id = %(run_id)s AND NOT part.is_done AND part.lease_token = %(token)s
    AND part.ordinal <> ALL(%(kept)s::int[])

-- name: lock_run
-- Before a partition is cut: one cut of a run at a time, and none once it closes.
SELECT true AS is_open
FROM segue.runs AS own
WHERE
    own.id = %(run_id)s AND own.status = 'migrating' AND own.request IS NULL
    AND (
        own.lease_token = %(token)s::uuid
        OR EXISTS (SELECT FROM segue.workers AS worker WHERE worker.run_id = own.id AND worker.token = %(token)s::uuid)
    )
FOR NO KEY UPDATE OF own

-- name: lock_partition
-- Waits for the chunk whose checkpoint is being committed; a chunk under way finds the range changed, and runs again.
SELECT * FROM segue.partitions WHERE run_id = %(run_id)s AND ordinal = %(ordinal)s AND NOT is_done FOR UPDATE

-- name: shorten_partition
-- The tail goes to another worker; the sequence number tells a chunk under way that its range has changed.
UPDATE segue.partitions SET upto_key = %(cut)s, seq = seq + 1
WHERE run_id = %(run_id)s AND ordinal = %(ordinal)s

-- name: add_tail
INSERT INTO segue.partitions (run_id, ordinal, after_key, upto_key, cursor, chunk_size, lease_token)
SELECT %(run_id)s, max(part.ordinal) + 1, %(cut)s, %(upto)s, %(cut)s, %(chunk_size)s, %(token)s
FROM segue.partitions AS part
WHERE part.run_id = %(run_id)s
RETURNING ordinal, chunk_size

-- name: join_run
-- A run that is under way; also forgets workers that have died.
WITH run AS MATERIALIZED (
    SELECT own.id FROM segue.runs AS own WHERE own.id = %(run_id)s AND own.status = 'migrating' FOR SHARE OF own
),

forgotten AS (
    DELETE FROM segue.workers AS worker
    USING segue.holders AS dead
    WHERE worker.run_id = %(run_id)s AND dead.token = worker.token AND NOT dead.is_live
)

INSERT INTO segue.workers (token, run_id, holder, lease_until, backend_pid, backend_start)
SELECT
    %(token)s,
    run.id,
    %(holder)s,
    clock_timestamp() + %(lease)s::interval,
    %(backend_pid)s,
    (SELECT own.backend_start FROM pg_stat_activity AS own WHERE own.pid = %(backend_pid)s)
FROM run
RETURNING token

-- name: renew_membership
UPDATE segue.workers
SET
    lease_until = clock_timestamp() + %(lease)s::interval,
    backend_pid = %(backend_pid)s,
    backend_start = (SELECT own.backend_start FROM pg_stat_activity AS own WHERE own.pid = %(backend_pid)s)
WHERE token = %(token)s
RETURNING (SELECT run.request FROM segue.runs AS run WHERE run.id = workers.run_id) AS request

-- name: leave_run
-- What is not finished is anybody's at once.
WITH gone AS (
    DELETE FROM segue.workers WHERE token = %(token)s RETURNING run_id
)

UPDATE segue.partitions AS part SET lease_token = NULL
FROM gone
WHERE part.run_id = gone.run_id AND part.lease_token = %(token)s AND NOT part.is_done

-- name: dismiss_workers
-- A run that leaves its chunks behind has no workers but its leader: from here on a joiner's checkpoint finds no row.
WITH gone AS (
    DELETE FROM segue.workers WHERE run_id = %(run_id)s
)

UPDATE segue.partitions SET lease_token = %(token)s WHERE run_id = %(run_id)s

-- name: list_holders
-- Who is alive and works on the run, the leader first, with the unfinished partitions that each holds.
SELECT
    live.holder,
    live.held_since,
    live.is_leader,
    coalesce(
        jsonb_agg(
            jsonb_build_object('partition', part.ordinal, 'rows', part.row_count, 'checkpoint_at', part.checkpoint_at)
            ORDER BY part.ordinal
        ) FILTER (WHERE part.ordinal IS NOT NULL),
        '[]'
    ) AS partitions
FROM segue.holders AS live
LEFT JOIN segue.partitions AS part ON part.run_id = live.run_id AND part.lease_token = live.token AND NOT part.is_done
WHERE live.run_id = %(run_id)s AND live.is_live
GROUP BY live.token, live.holder, live.held_since, live.is_leader
ORDER BY live.is_leader DESC, live.held_since, live.holder

-- name: count_at_work
-- Joiners that are alive and still hold something.
SELECT count(DISTINCT live.token) AS at_work
FROM segue.holders AS live
JOIN segue.partitions AS part ON part.run_id = live.run_id AND part.lease_token = live.token AND NOT part.is_done
WHERE live.run_id = %(run_id)s AND live.is_live AND NOT live.is_leader

-- name: list_own
SELECT ordinal FROM segue.partitions WHERE run_id = %(run_id)s AND lease_token = %(token)s AND NOT is_done

-- name: is_led
-- With some patience, so that a joiner does not take the lead from a leader that only lost its connection.
SELECT EXISTS (
    SELECT FROM segue.holders AS live WHERE live.run_id = %(run_id)s AND live.is_leader AND live.is_live
) AS is_led
