"""What is shown: plots, maps, tables, the replication report."""
