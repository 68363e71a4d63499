-- name: create_run
INSERT INTO segue.runs (migration, status, settings, fingerprint)
VALUES (%(migration)s, 'preparing', %(settings)s, %(fingerprint)s)
RETURNING *

-- name: create_promised_run
-- Under a number that was taken from the sequence when somebody asked for it.
INSERT INTO segue.runs (id, migration, status, settings, fingerprint)
VALUES (%(run_id)s, %(migration)s, 'preparing', %(settings)s, %(fingerprint)s)
RETURNING *

-- name: find_run
SELECT * FROM segue.runs WHERE id = %(run_id)s

-- name: is_held
-- Whether a live process has the run.
SELECT lease_token IS NOT NULL AND segue.is_alive(lease_until, backend_pid, backend_start) AS is_held
FROM segue.runs WHERE id = %(run_id)s

-- name: find_latest_run
-- The newest that still stands; when all were rolled back, the newest of those.
SELECT * FROM segue.runs WHERE migration = %(migration)s ORDER BY status = 'rolled_back', id DESC LIMIT 1

-- name: find_rollback_candidate
SELECT * FROM segue.runs WHERE status <> 'rolled_back' ORDER BY id DESC LIMIT 1

-- name: list_runs
SELECT * FROM segue.runs WHERE %(run_id)s::bigint IS NULL OR id = %(run_id)s ORDER BY id

-- name: claim_run
-- Takes the lease when nobody has it, or nobody who is alive.
UPDATE segue.runs
SET
    lease_token = %(token)s,
    lease_until = clock_timestamp() + %(lease)s::interval,
    holder = %(holder)s,
    held_since = clock_timestamp(),
    request = NULL,
    backend_pid = %(backend_pid)s,
    backend_start = (SELECT own.backend_start FROM pg_stat_activity AS own WHERE own.pid = %(backend_pid)s)
WHERE
    id = %(run_id)s
    AND (
        lease_token IS NULL
        OR lease_token = %(token)s
        OR NOT segue.is_alive(lease_until, backend_pid, backend_start)
    )
    AND NOT (
        %(is_exclusive)s
        AND EXISTS (SELECT FROM segue.holders AS joiner WHERE joiner.run_id = runs.id AND NOT joiner.is_leader AND joiner.is_live)
    )
RETURNING *

-- name: fence_partitions
-- From here on a superseded worker's checkpoint finds no row, and its transaction fails. Who leads a run leaves joiners
-- that are alive their own; what needs the run for itself takes all.
UPDATE segue.partitions AS part SET lease_token = %(token)s
WHERE
    part.run_id = %(run_id)s
    AND (
        %(is_exclusive)s
        OR NOT EXISTS (
            SELECT FROM segue.holders AS joiner
            WHERE
                joiner.run_id = part.run_id AND joiner.token = part.lease_token
                AND NOT joiner.is_leader AND joiner.is_live
        )
    )

-- name: renew_lease
UPDATE segue.runs
SET
    lease_until = clock_timestamp() + %(lease)s::interval,
    backend_pid = %(backend_pid)s,
    backend_start = (SELECT own.backend_start FROM pg_stat_activity AS own WHERE own.pid = %(backend_pid)s)
WHERE id = %(run_id)s AND lease_token = %(token)s
RETURNING request

-- name: release_run
UPDATE segue.runs
SET lease_token = NULL, lease_until = NULL, holder = NULL, held_since = NULL, backend_pid = NULL, backend_start = NULL,
    work_seconds = work_seconds + %(seconds)s
WHERE id = %(run_id)s AND lease_token = %(token)s

-- name: move_run
-- A transition and its event are one statement; the event's CHECK refuses what the table of states does not allow.
WITH moved AS (
    UPDATE segue.runs
    SET
        status = %(to_status)s,
        error = %(error)s,
        request = CASE WHEN %(to_status)s IN ('preparing', 'migrating', 'validating') THEN request END,
        finished_at = CASE WHEN %(to_status)s IN ('complete', 'cancelled', 'rolled_back') THEN clock_timestamp() END
    WHERE
        id = %(run_id)s AND status = %(from_status)s
        AND (%(token)s::uuid IS NULL OR lease_token = %(token)s)
    RETURNING id
)

INSERT INTO segue.events (run_id, actor, kind, from_status, to_status, detail)
SELECT moved.id, %(actor)s, 'status', %(from_status)s, %(to_status)s, %(detail)s FROM moved

-- name: add_event
INSERT INTO segue.events (run_id, actor, kind, to_status, detail)
VALUES (%(run_id)s, %(actor)s, %(kind)s, %(to_status)s, %(detail)s)

-- name: list_events
SELECT at, actor, kind, from_status, to_status, detail FROM segue.events WHERE run_id = %(run_id)s ORDER BY id

-- name: save_plan
UPDATE segue.runs SET plan = %(plan)s, total_rows = %(total_rows)s WHERE id = %(run_id)s AND lease_token = %(token)s

-- name: save_total
-- Of a run that is done: what its partitions have read, edits of others included.
UPDATE segue.runs
SET total_rows = (SELECT coalesce(sum(part.row_count), 0) FROM segue.partitions AS part WHERE part.run_id = %(run_id)s)
WHERE id = %(run_id)s

-- name: save_validation
UPDATE segue.runs SET validation = %(validation)s WHERE id = %(run_id)s

-- name: save_rollback
UPDATE segue.runs SET rollback = %(rollback)s WHERE id = %(run_id)s AND lease_token = %(token)s

-- name: request_change
UPDATE segue.runs SET request = %(request)s WHERE id = %(run_id)s AND status IN ('preparing', 'migrating', 'validating')

-- name: create_partition
INSERT INTO segue.partitions (run_id, ordinal, after_key, upto_key, cursor, chunk_size, lease_token)
VALUES (%(run_id)s, %(ordinal)s, %(after_key)s, %(upto_key)s, %(after_key)s, %(chunk_size)s, %(token)s)

-- name: read_partitions
SELECT * FROM segue.partitions WHERE run_id = %(run_id)s ORDER BY ordinal

-- name: read_partition
SELECT * FROM segue.partitions WHERE run_id = %(run_id)s AND ordinal = %(ordinal)s

-- name: save_checkpoint
-- Moves the cursor in the chunk's own transaction; touches no row when the lease or the sequence has moved on.
UPDATE segue.partitions
SET
    cursor = coalesce(%(cursor)s, cursor),
    seq = seq + 1,
    is_done = %(is_done)s,
    chunk_size = %(chunk_size)s,
    row_count = row_count + %(row_count)s,
    quarantined_rows = quarantined_rows + %(quarantined_rows)s,
    elements = elements + %(elements)s,
    linked = linked + %(linked)s,
    merged = merged + %(merged)s,
    blank = blank + %(blank)s,
    quarantined = quarantined + %(quarantined)s,
    created = created + %(created)s,
    expected_count = expected_count + %(expected_count)s,
    expected_sum = mod(expected_sum + %(expected_sum)s::numeric, 18446744073709551616),
    expected_xor = expected_xor # %(expected_xor)s::bigint,
    created_sum = mod(created_sum + %(created_sum)s::numeric, 18446744073709551616),
    created_xor = created_xor # %(created_xor)s::bigint,
    source_sum = mod(source_sum + %(source_sum)s::numeric, 18446744073709551616),
    source_xor = source_xor # %(source_xor)s::bigint,
    checkpoint_at = clock_timestamp()
WHERE run_id = %(run_id)s AND ordinal = %(ordinal)s AND seq = %(seq)s AND lease_token = %(token)s
RETURNING
    (SELECT request FROM segue.runs WHERE id = %(run_id)s) AS request,
    (SELECT controls FROM segue.runs WHERE id = %(run_id)s) AS controls

-- name: restate_partition
-- After a repair: the partition's counts and digests, taken anew from its whole range.
UPDATE segue.partitions
SET
    row_count = %(row_count)s, quarantined_rows = %(quarantined_rows)s, elements = %(elements)s, linked = %(linked)s,
    merged = %(merged)s, blank = %(blank)s, quarantined = %(quarantined)s, created = %(created)s,
    expected_count = %(expected_count)s,
    expected_sum = %(expected_sum)s::numeric, expected_xor = %(expected_xor)s::bigint,
    created_sum = %(created_sum)s::numeric, created_xor = %(created_xor)s::bigint,
    source_sum = %(source_sum)s::numeric, source_xor = %(source_xor)s::bigint
WHERE run_id = %(run_id)s AND ordinal = %(ordinal)s AND lease_token = %(token)s

-- name: read_quarantine
SELECT run_id, key, pointer, payload, elements, reason, sqlstate, attempts, created_at
FROM segue.quarantine
WHERE run_id = %(run_id)s
ORDER BY key, ordinal
LIMIT %(most)s

-- name: require_lease
-- Locks the run's partitions against a rival's fence until this transaction ends.
SELECT count(*) AS held
FROM (
    SELECT 1 FROM segue.partitions WHERE run_id = %(run_id)s AND lease_token = %(token)s FOR SHARE
) AS held

-- name: read_quarantined_keys
SELECT DISTINCT key FROM segue.quarantine WHERE run_id = %(run_id)s ORDER BY key

-- name: find_later_run
SELECT id FROM segue.runs
WHERE migration = %(migration)s AND id > %(run_id)s AND status <> 'rolled_back'
ORDER BY id DESC
LIMIT 1
