"""Listeners to events: what is counted, what is owed, what is logged. The flow knows none of them."""
