"""The SQL Server provider: an input that reads CDC change tables, and resource types that manage CDC."""
