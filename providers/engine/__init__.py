"""The local providers' runtime: models, their outputs, and the worker that runs them."""
