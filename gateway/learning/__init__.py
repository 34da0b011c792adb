"""Routes that plan themselves: what is learned of photos in service, and the plans made of it."""
