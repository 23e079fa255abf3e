"""Vision calls: the call itself, the gate before it, and local text recognition."""
