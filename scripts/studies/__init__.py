"""The comparison of modules and the paper's figures."""
