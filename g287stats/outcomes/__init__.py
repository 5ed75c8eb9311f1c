"""What was measured: one module a producer."""
