"""Real processes that are killed, paused and lied to, and the paper exchange's ledger as the judge."""
