"""The parts for a proxy: access checks, budgets, model names with the suffix, errors in each wire format."""
