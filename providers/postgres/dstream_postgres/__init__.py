"""The PostgreSQL provider: logical replication as an input, tables as an output, publications and slots."""
