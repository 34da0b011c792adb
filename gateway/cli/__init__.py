"""The command `imgrid`: the only place that prints, asks for confirmation and exits."""
