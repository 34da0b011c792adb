"""How long and how many in Redis: limits of the scripts and of the modules here. Those of contracts
are in `gateway.store`."""

from __future__ import annotations

from gateway.core.fair_share import FREE_SHARE as FREE_SHARE
from gateway.ledger.budgets import METERS_KEPT_S as METERS_KEPT_S
from gateway.ledger.budgets import TOLERANCE as TOLERANCE

LEASE_S = 5.0
"""A replica that sent no heartbeat for so long is dead, and other replicas take over its photos."""
BEAT_S = 0.5
"""Between heartbeats."""
OUTAGE_S = 3
"""Where no replica sent a heartbeat for so long, Redis itself was away, and all leases are
extended."""
LOST_CLAIM_S = 5
"""After which a claimed photo that its replica does not know of is given back: the reply to its
claim was lost. Longer than the wait for any reply."""
CLAIMS_TOGETHER = 2
"""After so many claims whose replicas died, a photo is asked about alone, so that the photo that
kills them harms no other."""
RECLAIMED_AT_ONCE = 500
"""Photos of a dead replica that one script takes over: Redis serves nobody meanwhile. The next
heartbeat continues."""
WITHDRAWN_AT_ONCE = 200
"""Photos that one commit withdraws, for the same reason."""
DEAD_LETTERS_KEPT = 1000
UNSURE_S = 3600
"""How long a call of a dead replica is remembered, in case the replica is alive and reports its
end."""
ACCOUNTS_KEPT_DAYS = 400
"""How long a day's accounts are kept: a year, and the month after it."""
DAY_S = 86400
COMMITS_KEPT_S = 30 * DAY_S
"""How long the commits of a dead replica are remembered, in case it is alive and repeats one."""
REPLIES_AT_ONCE = 100
"""Commits whose replies a replica says that it has, with one commit."""
ANSWERS_FORGOTTEN = 100
"""Cached answers that one command removes: the least recently used, and expired ones."""
STALE_JOB_S = 10
"""A job that is being accepted for longer may be overtaken by a repeated request."""
JOBS_AT_ONCE = 100
"""Jobs forgotten, or deliveries replayed, by one script: Redis serves nobody meanwhile."""
