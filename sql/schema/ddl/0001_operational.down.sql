-- One at a time, because dropping one takes along what depends on it.
DO $$
DECLARE
    statement text;
BEGIN
    LOOP
        SELECT format('DROP TABLE segue.%I CASCADE', tablename) INTO statement
        FROM pg_tables WHERE schemaname = 'segue' AND tablename <> 'alembic_version' LIMIT 1;
        EXIT WHEN NOT FOUND;
        EXECUTE statement;
    END LOOP;
    LOOP
        SELECT format('DROP FUNCTION %s CASCADE', oid::regprocedure) INTO statement
        FROM pg_proc WHERE pronamespace = 'segue'::regnamespace LIMIT 1;
        EXIT WHEN NOT FOUND;
        EXECUTE statement;
    END LOOP;
END
$$;
