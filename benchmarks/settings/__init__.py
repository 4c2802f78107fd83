"""Settings of solver and filter: a sweep over several sets, and the advice of suggest_settings."""
