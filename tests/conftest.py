"""Settings for all tests."""

from hypothesis import HealthCheck, settings

# How fast an example runs says more of the machine, and of what else it does, than of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
