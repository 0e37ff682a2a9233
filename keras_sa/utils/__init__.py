"""What several parts of the library need."""
