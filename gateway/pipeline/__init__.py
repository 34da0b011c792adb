"""From a photo in the buffer to its outcome: scheduler, claims, steps, canvas calls, settling."""
