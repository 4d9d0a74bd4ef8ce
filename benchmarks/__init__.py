"""How long a reset takes, side by side with the other ways: ``python3 -m benchmarks``."""
