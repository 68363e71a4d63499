-- name: has_any
-- Whether a run has rows in quarantine as a whole; a partial index knows.
SELECT EXISTS (SELECT FROM segue.quarantine WHERE run_id = %(run_id)s AND ordinal = 0) AS found

-- name: check_constraints
-- Deferred constraints speak now, inside the savepoint of the rows that break them, and not at COMMIT.
SET CONSTRAINTS ALL IMMEDIATE

-- name: defer_constraints
SET CONSTRAINTS ALL DEFERRED

-- name: save_row
INSERT INTO segue.quarantine (run_id, key, ordinal, pointer, payload, elements, reason, sqlstate, attempts, source)
VALUES (
    %(run_id)s, %(key)s, 0, %(pointer)s, %(payload)s, %(elements)s, %(reason)s, %(sqlstate)s, %(attempts)s, %(source)s
)

-- name: forget_rows
-- Before rows are tried again; says how often each was.
DELETE FROM segue.quarantine
WHERE run_id = %(run_id)s AND ordinal = 0 AND key = ANY(%(keys)s::text[])
RETURNING key, attempts

-- name: count_rows
SELECT count(*) AS row_count, coalesce(sum(elements), 0) AS elements
FROM segue.quarantine
WHERE run_id = %(run_id)s AND ordinal = 0 AND {key_in_range}

-- name: read_rows
SELECT key, source
FROM segue.quarantine
WHERE run_id = %(run_id)s AND ordinal = 0 AND {key_in_range}
ORDER BY key COLLATE "C"
