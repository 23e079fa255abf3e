"""The parts that only a proxy needs: access checks, budgets, names with the suffix, errors in each wire format."""
