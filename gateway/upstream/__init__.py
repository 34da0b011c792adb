"""Calls to providers: retries, rate limit, circuit breaker."""
