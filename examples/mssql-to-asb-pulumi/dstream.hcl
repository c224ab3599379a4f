# Changes of SQL Server tables into Azure Service Bus. The namespace, a queue for each table and a topic for messages that
# no reader could process come from a Pulumi program in the output's provider (shop_bus.py). dstream runs the program at
# every plan, and plans, creates and destroys what it describes. Neither Pulumi's CLI nor a second state is needed.
#
#     pip install dstream-provider-mssql 'dstream-provider-servicebus[pulumi]'
#     az login
#     az group create --name streams --location westeurope
#     export ARM_SUBSCRIPTION_ID=$(az account show --query id --output tsv)
#     export SQL_CONNECTION="Server=tcp:shop.database.windows.net,1433;Database=shop;User ID=...;Password=...;Encrypt=yes"
#     dstream providers pull pulumi/azure-native@3.29.0
#     dstream plan
#     dstream init mssql-to-asb       # CDC on the tables, the namespace, the topic and the queues
#     dstream run mssql-to-asb        # needs the role Azure Service Bus Data Owner
#     dstream destroy mssql-to-asb -allow-data-loss

variable "namespace" {
  default     = "shop-bus"
  description = "Name of the namespace; no other one in Azure has it."
}

variable "asb_connection" {
  default     = ""
  sensitive   = true
  description = "Connection string of the namespace; empty: sign in by Entra ID."
}

task "mssql-to-asb" {
  input {
    provider = "mssql"
    config {
      connection_string = env("SQL_CONNECTION")
      tables            = ["Persons", "Orders", "Customers"]
    }
  }

  output {
    provider_path = "./shop_bus.py"
    env           = ["ARM_CLIENT_ID", "ARM_CLIENT_SECRET", "ARM_TENANT_ID", "ARM_METADATA_HOSTNAME"]
    config {
      subscription_id   = env("ARM_SUBSCRIPTION_ID")
      resource_group    = "streams"
      location          = "westeurope"
      namespace         = var.namespace
      connection_string = var.asb_connection
    }
  }
}
