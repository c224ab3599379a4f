# The production block of the older project: change data of two tables, each into a queue.
task "mssql-to-asb" {
  type = "providers"

  input {
    provider_path = "./dstream-ingester-mssql"
    config {
      db_connection_string = "{{ env "SQL" }}"
      poll_interval        = "5s"
      max_poll_interval    = "30s"
      tables               = ["Persons", "Cars"]
      lock_config = {
        type = "none"
      }
    }
  }

  output {
    provider_path = "./dstream-out-asb"
    config {
      connectionString = "{{ env `ASB` }}"
      resourceGroup    = "rg-garage"
      namespace        = "sb-garage"
      sourceHost       = "localhost"
      sourceDatabase   = "GarageDB"
      tables           = ["dbo.Cars", "dbo.Persons"]
    }
  }
}
