"""The job store of a gateway on one machine: a file."""
