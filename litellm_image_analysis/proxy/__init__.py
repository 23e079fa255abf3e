"""What only a proxy has: who may use image analysis, budgets, names with the suffix, errors in each wire format."""
