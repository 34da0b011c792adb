"""What tests of several folders share: harnesses, builders of values, conditions to wait for."""
