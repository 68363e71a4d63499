-- Rows that the application's own rules refuse are in quarantine as a whole, with ordinal 0.

-- name: segue
-- `source` is the digest of the row as it was refused: when it changes, the row is tried again.
ALTER TABLE segue.quarantine ADD COLUMN source text;
CREATE INDEX quarantine_whole ON segue.quarantine (run_id, key COLLATE "C") WHERE ordinal = 0;
-- segue.files is Segue's own, and no run is at work during an upgrade.
-- squawk-ignore ban-drop-constraint
ALTER TABLE segue.files DROP CONSTRAINT files_outcome_check;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE segue.files ADD CONSTRAINT files_outcome_check CHECK (
    outcome IN ('due', 'imported', 'superseded', 'expired', 'not_user', 'stray', 'damaged', 'gone', 'erased', 'refused')
);

-- name: segue_down
UPDATE segue.files SET outcome = 'damaged', reason = coalesce(reason, 'refused') WHERE outcome = 'refused';
-- squawk-ignore ban-drop-constraint
ALTER TABLE segue.files DROP CONSTRAINT files_outcome_check;
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE segue.files ADD CONSTRAINT files_outcome_check CHECK (
    outcome IN ('due', 'imported', 'superseded', 'expired', 'not_user', 'stray', 'damaged', 'gone', 'erased')
);
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX segue.quarantine_whole;
ALTER TABLE segue.quarantine DROP COLUMN source;
