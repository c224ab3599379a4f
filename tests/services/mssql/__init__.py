"""A stand-in for SQL Server with change data capture, which speaks TDS to the real driver."""
