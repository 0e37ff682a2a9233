"""Devices and machines: strategies, members of a cluster, starting them."""
