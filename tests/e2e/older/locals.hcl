# One list of tables for both sides.
locals {
  tables              = ["Persons", "Cars"]
  database_connection = "{{ env \"SQL\" }}"
}

task "mssql-to-console" {
  input {
    provider_path = "./dstream-ingester-mssql"
    config {
      db_connection_string = local.database_connection
      tables               = local.tables
    }
  }
  output {
    provider_path = "./dstream-console-output-provider"
    config {
      tables = local.tables
    }
  }
}
