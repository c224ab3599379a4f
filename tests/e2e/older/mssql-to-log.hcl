# Change data to the log.
task "mssql-test" {
  type = "providers"
  input {
    provider_path = "./dstream-ingester-mssql"
    config {
      db_connection_string = "{{ env "SQL" }}"
      poll_interval = "5s"
      max_poll_interval = "30s"
      tables = ["Persons", "Cars"]
      lock_config = {
        type = "none"
      }
    }
  }

  output {
    provider_path = "./dstream-log-output-provider"
    config {
      logLevel = "info"
    }
  }
}
