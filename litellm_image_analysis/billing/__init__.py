"""Identity and cost of vision calls, and reports on them."""
