"""What runs on a cluster's nodes: the standard library and the porter's modules only, started by ``python -I -S``."""
