"""Settings of one installation. Imports nothing of ours."""
