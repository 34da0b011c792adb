"""Stores that replicas share: one hash tag, one clock, one Lua transaction a change."""
