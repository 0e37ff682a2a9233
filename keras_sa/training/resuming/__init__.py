"""Going on after a kill: what is saved, when, and how it is read again."""
