-- What admins may change while a run goes on, and why it waits.

-- name: segue
-- Unlike settings, which are the run's fingerprint, controls change how fast it works and never what it makes.
ALTER TABLE segue.runs ADD COLUMN controls jsonb NOT NULL DEFAULT '{}';
ALTER TABLE segue.runs ADD COLUMN throttled text;

-- name: segue_down
ALTER TABLE segue.runs DROP COLUMN throttled;
ALTER TABLE segue.runs DROP COLUMN controls;
