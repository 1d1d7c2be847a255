"""followtheleader."""
