-- What the serving side needs beside the tags themselves: who changed what, and what curators decided.

-- name: segue
-- Writers of tags, synonyms, bans, redirects and links append here in their own transaction (functions/outbox.sql).
-- Without a number: numbers given before the commit are not in the order of commits, and a dry run would use them up.
CREATE TABLE segue.outbox (
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text NOT NULL CONSTRAINT outbox_kind_check CHECK (kind IN ('tags', 'songs')),
    -- Tags' ids, or songs' keys as text; null: any of them may have changed.
    keys text[]
);

-- The relay moves rows from the outbox here, one batch a transaction, so that numbers follow each other without gaps.
CREATE TABLE segue.changes (
    number bigint PRIMARY KEY,
    kind text NOT NULL CONSTRAINT changes_kind_check CHECK (kind IN ('tags', 'songs')),
    keys text[],
    written_at timestamptz NOT NULL,
    relayed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX changes_relayed_at ON segue.changes (relayed_at);

-- One row: the newest number, and which process relays now.
CREATE TABLE segue.relay (
    is_only boolean PRIMARY KEY DEFAULT true CONSTRAINT relay_is_only_check CHECK (is_only),
    number bigint NOT NULL DEFAULT 0,
    holder uuid,
    held_until timestamptz
);
INSERT INTO segue.relay DEFAULT VALUES;

-- Ids of merged tags still lead somewhere.
CREATE TABLE segue.tag_redirects (
    old_id uuid PRIMARY KEY,
    tag_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX tag_redirects_tag_id ON segue.tag_redirects (tag_id);

-- A banned tag keeps its links, is not suggested or listed, and its name cannot be created anew.
CREATE TABLE segue.banned_tags (
    tag_id uuid PRIMARY KEY,
    normalized_name text COLLATE "C" NOT NULL CONSTRAINT banned_tags_normalized_name_key UNIQUE,
    reason text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

-- Append-only (functions/moderation.sql): every curator's act with what was before and after, enough to undo it.
CREATE TABLE segue.moderation_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL CONSTRAINT moderation_log_action_check CHECK (
        action IN ('create', 'rename', 'recategorise', 'recolour', 'synonym', 'unsynonym', 'merge', 'promote', 'ban', 'undo')
    ),
    tag_id uuid NOT NULL,
    before jsonb,
    after jsonb,
    undoes bigint CONSTRAINT moderation_log_undoes_key UNIQUE REFERENCES segue.moderation_log (id)
);
CREATE INDEX moderation_log_tag_id ON segue.moderation_log (tag_id, id);

-- The links that a merge moved, so that it can be undone however many there are.
CREATE TABLE segue.merged_links (
    log_id bigint NOT NULL REFERENCES segue.moderation_log (id),
    song_id text COLLATE "C" NOT NULL,
    -- The whole link as it was; where the song had the other tag too, it was dropped instead of moved.
    link jsonb NOT NULL,
    was_dropped boolean NOT NULL,
    PRIMARY KEY (log_id, song_id)
);

-- Tokens of the HTTP interface; only a hash is kept.
CREATE TABLE segue.api_tokens (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL CONSTRAINT api_tokens_name_check CHECK (char_length(name) BETWEEN 1 AND 100),
    token_hash bytea NOT NULL CONSTRAINT api_tokens_token_hash_key UNIQUE,
    scopes text[] NOT NULL CONSTRAINT api_tokens_scopes_check CHECK (
        cardinality(scopes) > 0 AND scopes <@ ARRAY['read', 'curate', 'operate']
    ),
    -- Addresses that may use it; empty: any.
    networks cidr[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);

-- name: segue_down
DROP TABLE segue.api_tokens;
DROP TABLE segue.merged_links;
DROP TABLE segue.moderation_log;
DROP TABLE segue.banned_tags;
DROP TABLE segue.tag_redirects;
DROP TABLE segue.relay;
DROP TABLE segue.changes;
DROP TABLE segue.outbox;
