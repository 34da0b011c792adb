"""Webhooks: signed as the Standard Webhooks specification says, and delivered at least once."""
