"""What maintainers run: proofs, loads and studies; not installed."""
