-- What users' transactions write down while a migration's mirror is on; the triggers come with the run, not from here.

-- name: segue
-- Which songs the transaction changed; null: all may be gone. Emptied before it commits, so nobody sees another's rows.
-- Indexed by transaction: what others have deleted here and a long snapshot keeps costs the next writer nothing.
CREATE UNLOGGED TABLE segue.mirror_pending (
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    key text
);
CREATE INDEX mirror_pending_transaction ON segue.mirror_pending (transaction);

-- Songs that a mirror could not bring up to date in the user's transaction, for the next command of ours.
CREATE TABLE segue.mirror_late (
    run_id bigint NOT NULL,
    key text,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX mirror_late_run ON segue.mirror_late (run_id);

-- The stages of the vocabulary's queries, as tables: a user's session must not make temporary ones.
CREATE UNLOGGED TABLE segue.mirror_texts (
    raw text COLLATE "C", cleaned text COLLATE "C", normalized text COLLATE "C", problem text, uses bigint
);
CREATE UNLOGGED TABLE segue.mirror_words (
    normalized text COLLATE "C", canonical text COLLATE "C", how text, name text, rank int, category text, color text,
    is_standard boolean
);

-- name: segue_down
DROP TABLE segue.mirror_words;
DROP TABLE segue.mirror_texts;
DROP TABLE segue.mirror_late;
DROP TABLE segue.mirror_pending;
