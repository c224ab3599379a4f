# A configuration in the older style: SQL Server change data to Azure Service Bus, one list of tables for both
# sides. Executables stand in for the real providers: they speak protocol 1, as providers in the field do.

locals {
  tables              = ["Orders", "Customers", "Products"]
  database_connection = "{{ env \"DATABASE_CONNECTION_STRING\" }}"
}

task "mssql-to-asb" {
  type = "providers"
  input {
    provider_path = "./bin/dstream-in-mssql"
    config {
      db_connection_string = local.database_connection
      tables               = local.tables
    }
  }
  output {
    provider_path = "./bin/dstream-out-asb"
    config { tables = local.tables } # the same list: no duplication, no drift
  }
}
