"""The SQL Server provider: change tables (CDC) as an input, and change data capture as a resource."""
