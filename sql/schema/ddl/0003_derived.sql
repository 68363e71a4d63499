-- What the application makes of the catalog: recommendations, snapshots, insights, jobs.

-- name: recommendation_sessions
CREATE TABLE {schema}.recommendation_sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL CONSTRAINT recommendation_sessions_user_id_fkey
    REFERENCES {schema}.users (id) ON DELETE CASCADE,
    input_tracks jsonb NOT NULL DEFAULT '[]' CONSTRAINT recommendation_sessions_input_tracks_check CHECK (
        jsonb_typeof(input_tracks) = 'array'
    ),
    algorithm_version text,
    parameters jsonb NOT NULL DEFAULT '{{}}' CONSTRAINT recommendation_sessions_parameters_check CHECK (
        jsonb_typeof(parameters) = 'object'
    ),
    created_at timestamptz NOT NULL DEFAULT now(),
    run_id bigint
);
CREATE INDEX recommendation_sessions_user_id_created_at_idx
ON {schema}.recommendation_sessions (user_id, created_at);

-- name: recommendations
CREATE TABLE {schema}.recommendations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    session_id uuid NOT NULL CONSTRAINT recommendations_session_id_fkey
    REFERENCES {schema}.recommendation_sessions (id) ON DELETE CASCADE,
    track_id text COLLATE "C" NOT NULL CONSTRAINT recommendations_track_id_fkey REFERENCES {schema}.tracks (id),
    score numeric(5, 4),
    rank int NOT NULL CONSTRAINT recommendations_rank_check CHECK (rank >= 1),
    created_at timestamptz NOT NULL DEFAULT now(),
    run_id bigint
);
CREATE INDEX recommendations_session_id_rank_idx ON {schema}.recommendations (session_id, rank);
CREATE INDEX recommendations_track_id_idx ON {schema}.recommendations (track_id);

-- name: recommendation_feedback
CREATE TABLE {schema}.recommendation_feedback (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL CONSTRAINT recommendation_feedback_user_id_fkey
    REFERENCES {schema}.users (id) ON DELETE CASCADE,
    recommendation_id uuid NOT NULL CONSTRAINT recommendation_feedback_recommendation_id_fkey
    REFERENCES {schema}.recommendations (id) ON DELETE CASCADE,
    feedback_type text NOT NULL CONSTRAINT recommendation_feedback_feedback_type_check CHECK (
        feedback_type IN ('like', 'dislike', 'skip', 'save')
    ),
    created_at timestamptz NOT NULL DEFAULT now(),
    run_id bigint
);
CREATE INDEX recommendation_feedback_recommendation_id_idx
ON {schema}.recommendation_feedback (recommendation_id);
CREATE INDEX recommendation_feedback_user_id_created_at_idx
ON {schema}.recommendation_feedback (user_id, created_at);

-- name: listening_snapshots
CREATE TABLE {schema}.listening_snapshots (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL CONSTRAINT listening_snapshots_user_id_fkey REFERENCES {schema}.users (id) ON DELETE CASCADE,
    snapshot_date date NOT NULL,
    time_range text NOT NULL CONSTRAINT listening_snapshots_time_range_check CHECK (
        time_range IN ('short_term', 'medium_term', 'long_term')
    ),
    audio_features jsonb NOT NULL DEFAULT '{{}}' CONSTRAINT listening_snapshots_audio_features_check CHECK (
        jsonb_typeof(audio_features) = 'object'
    ),
    mood_patterns jsonb NOT NULL DEFAULT '{{}}' CONSTRAINT listening_snapshots_mood_patterns_check CHECK (
        jsonb_typeof(mood_patterns) = 'object'
    ),
    total_tracks_analyzed int NOT NULL DEFAULT 0 CONSTRAINT listening_snapshots_total_tracks_analyzed_check CHECK (
        total_tracks_analyzed >= 0
    ),
    run_id bigint,
    -- Its index also serves a user's snapshots by day.
    CONSTRAINT listening_snapshots_day_key UNIQUE (user_id, snapshot_date, time_range)
);

-- name: generated_insights
CREATE TABLE {schema}.generated_insights (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL CONSTRAINT generated_insights_user_id_fkey REFERENCES {schema}.users (id) ON DELETE CASCADE,
    snapshot_id uuid CONSTRAINT generated_insights_snapshot_id_fkey
    REFERENCES {schema}.listening_snapshots (id) ON DELETE SET NULL,
    insight_type text NOT NULL,
    llm_model text,
    prompt_version text,
    tone_mode text,
    content text,
    structured_output jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    run_id bigint
);
CREATE INDEX generated_insights_user_id_created_at_idx ON {schema}.generated_insights (user_id, created_at);
CREATE INDEX generated_insights_snapshot_id_idx ON {schema}.generated_insights (snapshot_id);

-- name: background_jobs
CREATE TABLE {schema}.background_jobs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind text NOT NULL,
    status text NOT NULL DEFAULT 'queued' CONSTRAINT background_jobs_status_check CHECK (
        status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')
    ),
    attempts int NOT NULL DEFAULT 0 CONSTRAINT background_jobs_attempts_check CHECK (attempts >= 0),
    payload jsonb,
    result jsonb,
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    run_id bigint
);
CREATE INDEX background_jobs_status_created_at_idx ON {schema}.background_jobs (status, created_at);
