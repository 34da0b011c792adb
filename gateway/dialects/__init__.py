"""Wire formats that clients speak. Found by the entry points `imgrid.dialects`."""
