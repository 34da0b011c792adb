"""What the demo shows: drawn signs to read, canvases with their boxes, and a page that tells what
was saved."""
