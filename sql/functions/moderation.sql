-- segue.moderation_log can only be added to: for its rows, whoever asks, also for TRUNCATE.
CREATE OR REPLACE FUNCTION segue.refuse_moderation_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'segue.moderation_log is append-only: % is refused', TG_OP
        USING HINT = 'Undo an act by a new row that names it in "undoes".';
END
$$;
CREATE OR REPLACE TRIGGER moderation_log_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON segue.moderation_log
FOR EACH STATEMENT EXECUTE FUNCTION segue.refuse_moderation_change();
