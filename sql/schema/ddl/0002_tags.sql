-- name: tags
CREATE TABLE {schema}.tags (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL CONSTRAINT tags_name_key UNIQUE CONSTRAINT tags_name_check CHECK (char_length(name) BETWEEN 1 AND 50),
    normalized_name text COLLATE "C" NOT NULL CONSTRAINT tags_normalized_name_key UNIQUE
    CONSTRAINT tags_normalized_name_check CHECK (char_length(normalized_name) BETWEEN 1 AND 50),
    category text NOT NULL DEFAULT 'theme' CONSTRAINT tags_category_check CHECK (
        category IN ('theme', 'occasion', 'liturgical', 'mood')
    ),
    color text CONSTRAINT tags_color_check CHECK (color ~ '^#[0-9a-f]{{6}}$'),
    usage_count bigint NOT NULL DEFAULT 0,
    is_standard boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by uuid,
    promoted_at timestamptz,
    run_id bigint
);

-- name: song_tags
-- The foreign key to the songs is made by the migration, which knows their table and the type of their key.
CREATE TABLE {schema}.song_tags (
    song_id uuid NOT NULL,
    tag_id uuid NOT NULL CONSTRAINT song_tags_tag_id_fkey REFERENCES {schema}.tags (id) ON DELETE CASCADE,
    added_by uuid,
    added_at timestamptz NOT NULL DEFAULT now(),
    run_id bigint,
    CONSTRAINT song_tags_pkey PRIMARY KEY (song_id, tag_id)
);
CREATE INDEX song_tags_tag_id_idx ON {schema}.song_tags (tag_id);

-- name: tag_synonyms
CREATE TABLE {schema}.tag_synonyms (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    synonym text COLLATE "C" NOT NULL CONSTRAINT tag_synonyms_synonym_key UNIQUE
    CONSTRAINT tag_synonyms_synonym_check CHECK (char_length(synonym) BETWEEN 1 AND 50),
    canonical_tag_id uuid NOT NULL CONSTRAINT tag_synonyms_canonical_tag_id_fkey
    REFERENCES {schema}.tags (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    run_id bigint
);
CREATE INDEX tag_synonyms_canonical_tag_id_idx ON {schema}.tag_synonyms (canonical_tag_id);
