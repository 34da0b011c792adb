"""Values that every room of the gateway uses: photos, lanes, entries, questions, errors, events."""
