"""How late the benchmark's exchange answers."""

LATENCY_S = 0.05
HANGING, HANGS_S = "hang", 5  # an API key with this prefix is answered later
