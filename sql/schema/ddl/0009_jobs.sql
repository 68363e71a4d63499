-- Runs that were asked for over HTTP, and the workers that do them.

-- name: segue
-- What can be asked for: a server does not load migrations, so those that have them say here which options they take.
-- Whoever asks for a run locks its migration's row, so that of many who ask at once one after the other decides.
CREATE TABLE segue.migrations (
    name text PRIMARY KEY,
    -- [{"name", "help", "default", "choices", "is_path"}]; null until `segue db upgrade` or a worker has told.
    options jsonb
);
INSERT INTO segue.migrations (name) VALUES ('node-persist'), ('snapshots'), ('themes');

CREATE TABLE segue.jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CONSTRAINT jobs_kind_check CHECK (kind IN ('migrate', 'rollback')),
    migration text NOT NULL,
    -- Of the run that it makes or goes on with: the number is taken when it is asked for, the run is made by a worker.
    run_id bigint NOT NULL,
    settings jsonb NOT NULL,
    options jsonb NOT NULL DEFAULT '{}',
    asked_by text NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state text NOT NULL DEFAULT 'queued' CONSTRAINT jobs_state_check CHECK (state IN ('queued', 'working', 'ended')),
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- What an admin asks of a job at work.
    request text CONSTRAINT jobs_request_check CHECK (request IN ('pause', 'cancel')),
    -- How often a worker died at it, or lost the database.
    failures int NOT NULL DEFAULT 0,
    holder text,
    lease_token uuid,
    lease_until timestamptz,
    backend_pid int,
    backend_start timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    outcome text CONSTRAINT jobs_outcome_check CHECK (outcome IN ('done', 'stopped', 'cancelled', 'refused', 'failed')),
    exit_code int,
    error text,
    report jsonb,
    -- A client's own key for what it asks, a digest of what that was, and the answer that it gets for it every time.
    idempotency_key text,
    asked_digest text,
    answer jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT jobs_ended_check CHECK ((state = 'ended') = (outcome IS NOT NULL))
);

-- One at a time of a migration, whatever those who ask have seen before.
CREATE UNIQUE INDEX jobs_one_unfinished ON segue.jobs (migration) WHERE state <> 'ended';
CREATE UNIQUE INDEX jobs_idempotency_key ON segue.jobs (asked_by, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_run ON segue.jobs (run_id, id);

-- name: segue_down
DROP TABLE segue.jobs;
DROP TABLE segue.migrations;
