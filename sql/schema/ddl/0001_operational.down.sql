DO $$
DECLARE
    object record;
BEGIN
    FOR object IN
        SELECT format('DROP TABLE segue.%I CASCADE', tablename) AS statement
        FROM pg_tables WHERE schemaname = 'segue' AND tablename <> 'alembic_version'
    LOOP
        EXECUTE object.statement;
    END LOOP;
    FOR object IN
        SELECT format('DROP FUNCTION %s CASCADE', oid::regprocedure) AS statement
        FROM pg_proc WHERE pronamespace = 'segue'::regnamespace
    LOOP
        EXECUTE object.statement;
    END LOOP;
END
$$;
