"""An equivalent network of fewer, faster operations."""
