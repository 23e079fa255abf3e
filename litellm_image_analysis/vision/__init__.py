"""Vision calls: the call itself, the gate in front of it, and local text recognition."""
