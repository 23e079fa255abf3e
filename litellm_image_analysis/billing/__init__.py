"""Who pays, what it cost, and where that is shown."""
