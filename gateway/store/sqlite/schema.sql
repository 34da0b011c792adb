CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, task TEXT NOT NULL,
    created_at REAL NOT NULL, hook_url TEXT, hook_each INTEGER NOT NULL, state TEXT NOT NULL, photos INTEGER NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, billed REAL NOT NULL DEFAULT 0,
    held INTEGER NOT NULL, finished_at REAL, options BLOB NOT NULL, names BLOB NOT NULL
);
CREATE INDEX jobs_of ON jobs (tenant, id);
CREATE INDEX jobs_running ON jobs (tenant, id) WHERE state = 'running';
CREATE INDEX jobs_ended ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE TABLE photos (
    number INTEGER PRIMARY KEY, job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, place INTEGER NOT NULL,
    bytes INTEGER NOT NULL, result INTEGER, width INTEGER, height INTEGER, outcome BLOB, entry BLOB, data BLOB,
    UNIQUE (job, place)
);
CREATE INDEX photos_waiting ON photos (job, place) WHERE entry IS NOT NULL;
CREATE INDEX photos_settled ON photos (job, result) WHERE result IS NOT NULL;
CREATE TABLE keys (
    tenant TEXT NOT NULL, key TEXT NOT NULL, digest TEXT NOT NULL, until REAL NOT NULL,
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, PRIMARY KEY (tenant, key)
) WITHOUT ROWID;
CREATE INDEX keys_of ON keys (job);
CREATE INDEX keys_until ON keys (until);
CREATE TABLE deliveries (
    id TEXT NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    kind TEXT NOT NULL, place INTEGER NOT NULL, result INTEGER NOT NULL, url TEXT NOT NULL, host TEXT NOT NULL,
    created_at REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due_at REAL NOT NULL,
    leased_until REAL NOT NULL DEFAULT 0, last_error TEXT NOT NULL DEFAULT '', dead INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX deliveries_of ON deliveries (job, dead);
CREATE INDEX deliveries_due ON deliveries (host, due_at) WHERE dead = 0;
CREATE INDEX deliveries_leased ON deliveries (host, leased_until) WHERE dead = 0;
CREATE INDEX deliveries_dead ON deliveries (created_at) WHERE dead = 1;
