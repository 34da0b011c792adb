"""Keys, signatures, and which addresses the gateway may connect to."""
