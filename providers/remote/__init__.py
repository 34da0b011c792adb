"""What the providers behind a network share: SDK calls, HTTP."""
