-- What `segue cleanup` does to a legacy column, and what an undo needs of it.

-- name: segue
-- One row for each run whose legacy column is, or was, archived. The values are in segue.<archive> (key, value).
CREATE TABLE segue.cleanups (
    run_id bigint PRIMARY KEY REFERENCES segue.runs (id),
    -- archiving: values are copied, the column is in place; dropped: it is gone; restoring: it is filled again under
    -- another name; back: it has its name again; undone: it is complete again, and the archive is gone.
    state text NOT NULL DEFAULT 'archiving' CONSTRAINT cleanups_state_check CHECK (
        state IN ('archiving', 'dropped', 'restoring', 'back', 'undone')
    ),
    schema_name text NOT NULL,
    table_name text NOT NULL,
    column_name text NOT NULL,
    key_name text NOT NULL,
    key_type text NOT NULL,
    key_collation text,
    archive text NOT NULL,
    description jsonb NOT NULL,
    cursor text,
    is_copied boolean NOT NULL DEFAULT false,
    caught_up bigint NOT NULL DEFAULT 0,
    is_settled boolean NOT NULL DEFAULT true,
    restore_point text,
    restore_lsn text,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    dropped_at timestamptz,
    undone_at timestamptz
);

-- Keys of rows whose legacy column was written after it was read for the archive; null: the table was emptied.
CREATE TABLE segue.cleanup_changes (run_id bigint NOT NULL, key text);
CREATE INDEX cleanup_changes_run ON segue.cleanup_changes (run_id);

-- Arguments: the run, and the name of the key's column. Runs as its owner: whoever may write the legacy table need
-- have no right to Segue's.
CREATE FUNCTION segue.note_archive_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO segue.cleanup_changes (run_id, key) VALUES (TG_ARGV[0]::bigint, NULL);
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO segue.cleanup_changes (run_id, key) VALUES (TG_ARGV[0]::bigint, to_jsonb(OLD) ->> TG_ARGV[1]);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO segue.cleanup_changes (run_id, key) VALUES (TG_ARGV[0]::bigint, to_jsonb(NEW) ->> TG_ARGV[1]);
    END IF;
    RETURN NULL;
END
$$;

-- name: segue_down
DO $$
BEGIN
    IF EXISTS (SELECT FROM segue.cleanups WHERE state <> 'undone') THEN
        RAISE EXCEPTION 'segue.cleanups has a legacy column that exists only in its archive; bring it back first: segue rollback';
    END IF;
END
$$;
DROP FUNCTION segue.note_archive_change();
DROP TABLE segue.cleanup_changes;
DROP TABLE segue.cleanups;
