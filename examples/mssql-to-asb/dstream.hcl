# Changes of SQL Server tables into Azure Service Bus, one queue for each table:
# Persons_cdc_events, Orders_cdc_events, Customers_cdc_events.
#
#     export SQL_CONNECTION="Server=tcp:shop.database.windows.net,1433;Database=shop;User ID=...;Password=...;Encrypt=yes"
#     export ASB_CONNECTION="Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=...;SharedAccessKey=..."
#     dstream plan
#     dstream init mssql-to-asb       # CDC on the tables, and the queues
#     dstream run mssql-to-asb
#     dstream destroy mssql-to-asb -allow-data-loss

locals {
  tables = ["Persons", "Orders", "Customers"]
}

task "mssql-to-asb" {
  type = "providers"

  input {
    provider = "mssql"
    config {
      connection_string = "{{ env \"SQL_CONNECTION\" }}"
      tables            = local.tables
    }
  }

  output {
    provider = "asb"
    config {
      connection_string = "{{ env \"ASB_CONNECTION\" }}"
    }
  }
}
