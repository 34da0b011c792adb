"""The names of all keys in Redis, each once: in Python as here, in the scripts as `KEY_` and the
name.

A name that ends with a colon begins a family of keys, one for each replica, lane, tenant, photo,
job, delivery or host. All keys but those of photos' bytes share one hash tag, so that a cluster
keeps them in one slot and one script may change them.
"""

from __future__ import annotations

PREFIX = "{imgrid}:"

# Replicas
ALIVE = PREFIX + "alive"
"""Sorted set: replicas by the end of their lease; `-inf` while one is taken for dead."""
BEAT = PREFIX + "beat"
"""The time of the last heartbeat of any replica."""
WRITE_PROBE = PREFIX + "beat:written"
"""Written with each heartbeat: this fails where Redis has no memory left."""
BELL = PREFIX + "bell"
"""Channel: a lane may be due."""
REPLICA_BELL = PREFIX + "bell:"
"""Channel of a replica: its inbox holds outcomes."""
INBOX = PREFIX + "inbox:"
"""Hash: outcomes by photo, for clients that wait at the replica."""
CLIENT_PHOTOS = PREFIX + "own:"
"""Set: photos whose clients wait at the replica."""
CLAIMS = PREFIX + "held:"
"""Set: photos that the replica claimed."""
CALLS = PREFIX + "asked:"
"""Hash: canvases whose billed call has begun at the replica, each with its tenants' shares."""
UNSURE_CALLS = PREFIX + "unsure"
"""Hash: the same of calls whose replica died before they ended."""

# Photos
ENTRY = PREFIX + "entry:"
"""Hash: one photo in the buffer; its fields are `layouts.ENTRY_FIELDS`."""
OCCUPANCY = PREFIX + "room:"
"""Hash: photos, bytes and pixels in the buffer, of one priority."""
TENANT_OCCUPANCY = PREFIX + "tenant-room:"
"""Hash: the same by MEASURE@TENANT."""
LANES = PREFIX + "lanes"
"""Set: the lanes in which photos wait."""
ARRIVALS = PREFIX + "came:"
"""Sorted set: a lane's photos by the time they were put."""
DUE_TIMES = PREFIX + "due:"
"""Sorted set: a lane's photos by the time at which they wait no longer for company."""
QUEUE = PREFIX + "queue:"
"""Sorted set of PRIORITY:LANE: photos in the order of fair queueing."""
FAIR_QUEUEING = PREFIX + "fair:"
"""Hash: a lane's virtual time of each priority, and the last tag of each tenant."""
DEAD_LETTERS = PREFIX + "dead"
"""List: dead letters as JSON, latest first."""
COMMITS = PREFIX + "commits:"
"""Hash of a replica: what each of its commits returned, until it has the reply."""
EARLIER_COMMITS = PREFIX + "commits"
EARLIER_COMMIT_RESULTS = PREFIX + "commits:counted"
"""What releases before that remembered of all replicas' commits."""

# The ledger
ACCOUNTS = PREFIX + "accounts:"
"""Hash of DAY:TENANT: the accounts of one tenant on one day, each by the text of its key."""
ACCOUNT_DAYS = PREFIX + "accounts"
"""Sorted set: DAY:TENANT of each of these hashes, by the day's number."""
EARLIER_TENANTS = PREFIX + "tenants"
"""Set: the tenants that releases before days charged."""
EARLIER_ACCOUNT = PREFIX + "ledger:"
"""Hash: the account of such a tenant."""
METER = PREFIX + "meter:"
"""String: what was spent of a budget in one period."""
METER_HOLDS = PREFIX + "held-of:"
"""Hash of a meter: what is held for calls under way, each an amount and when it ends by itself."""
HOLDS = PREFIX + "holds:"
"""Hash of a replica: the meters of each of its holds."""
NOTICE = PREFIX + "notice:"
"""String: who is about to send a notice, or that it was sent."""

# Rate limits
RATE = PREFIX + "rate:"
"""String: of a limit, the theoretical arrival time (GCRA)."""

# Jobs
JOB = PREFIX + "job:"
"""Hash: a job; its fields are `layouts.JOB_FIELDS`."""
RESULTS = PREFIX + "results:"
"""List: index and outcome of each settled photo of a job, in the order of settling."""
SETTLED_BITS = PREFIX + "places:"
"""Bitmap: which photos of a job are settled, by index."""
REFUSALS = PREFIX + "refused:"
"""List: index and outcome of photos that were refused, until the job is accepted."""
DEAD_DELIVERIES_OF_JOB = PREFIX + "undelivered:"
"""Set: a job's dead deliveries."""
TENANT_JOBS = PREFIX + "jobs:"
"""Sorted set: a tenant's accepted jobs, by id."""
ACCEPTING_JOBS = PREFIX + "accepting"
"""Sorted set: jobs that are being accepted, by the time they came."""
ENDED_JOBS = PREFIX + "ended"
"""Sorted set: jobs that ended and have no delivery left to make, by the time they ended."""
IDEMPOTENCY = PREFIX + "idempotency:"
"""Hash: job, digest and end of an idempotency key."""

# Deliveries
DELIVERY = PREFIX + "delivery:"
"""Hash: a delivery; its fields are `layouts.DELIVERY_FIELDS`."""
HOST_DELIVERIES = PREFIX + "telling:"
"""Sorted set: a host's deliveries by the time they are due."""
HOST_LEASES = PREFIX + "leased:"
"""Sorted set: a host's deliveries under lease, by the end of the lease."""
HOSTS = PREFIX + "hosts"
"""Sorted set: hosts by the time their first delivery is due."""
BUSY_HOSTS = PREFIX + "full"
"""Sorted set: hosts whose leases are all given out, by the end of the first lease."""
DEAD_DELIVERIES = PREFIX + "undeliverable"
"""Sorted set: dead deliveries by the time they were created."""

# Replies
REPLY = PREFIX + "reply:"
"""String: of a call's id, the run that is at it or the reply."""
WAITER_SUFFIX = ":wanted"
"""After a reply's key: another run waits for it."""

# Answers
ANSWER = PREFIX + "answer:"
"""String: the packed answer under a photo's and its question's key."""
ANSWER_LEASE = PREFIX + "answer-lease:"
"""String: the photo that is asked about for all equal ones."""
ANSWERS_BY_USE = PREFIX + "answers:used"
"""Sorted set: the keys of answers by the time of their last use."""
ANSWER_SIZES = PREFIX + "answers:sizes"
"""Hash: the bytes of each answer."""
ANSWERS_SIZE = PREFIX + "answers:size"
"""Their sum."""

# What routes learn
LESSONS = PREFIX + "lessons"
"""Set: the lessons, each as the JSON of its key."""
LESSON = PREFIX + "lesson:"
"""Hash: the account of a lesson, the number of its observations, and its plan."""
OBSERVATIONS = PREFIX + "observations:"
"""List: the latest observations of a lesson, oldest first."""
LESSON_CLAIM = PREFIX + "lesson-claim:"
"""String: somebody makes a plan of the lesson."""


def photo_bytes(photo_id: str, *, is_url: bool = False) -> str:
    """The key of a photo's bytes. A URL and the picture fetched from it have different keys."""
    return f"imgrid:photo:{photo_id}{':url' if is_url else ''}"
