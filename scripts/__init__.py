"""The commands of `keras-sa`; each file also runs by itself."""
