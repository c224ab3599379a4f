# Changes of SQL Server tables on the console. One list of tables for both sides: no duplication, no drift.
# `apply` enables change data capture of the database and the tables, where it is not enabled already (docs/sqlserver.md
# says which rights that takes); `destroy` disables what `apply` enabled.
#
#     export DATABASE_CONNECTION_STRING='Server=db.example.com;Database=shop;User ID=dstream;Password=...'
#     dstream plan
#     dstream apply
#     dstream run mssql-to-console

locals {
  tables              = ["Orders", "Customers", "Products"]
  database_connection = "{{ env \"DATABASE_CONNECTION_STRING\" }}"
}

task "mssql-to-console" {
  type = "providers"
  input {
    provider = "mssql"
    config {
      db_connection_string = local.database_connection
      tables               = local.tables
    }
  }
  output {
    provider = "console"
    config {
      output_format = "simple"
      tables        = local.tables # the same list
    }
  }
}
