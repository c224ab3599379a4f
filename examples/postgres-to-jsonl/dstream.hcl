# Changes of a PostgreSQL database into a file of JSON Lines, and from there to the console.
# `make demo` tells this as a story. By hand, with a database that has wal_level = logical:
#
#     export DATABASE_URL=postgresql://user:password@localhost/shop
#     dstream plan
#     dstream apply
#     dstream run orders-to-file

locals {
  tables  = ["public.customers", "public.orders"]
  changes = "changes.jsonl"
}

task "orders-to-file" {
  input {
    provider = "postgres"
    config {
      connection_string = "{{ env \"DATABASE_URL\" }}"
      tables            = local.tables
    }
  }
  output {
    provider = "jsonl"
    config {
      path = local.changes
    }
  }
}

task "file-to-console" {
  input {
    provider = "jsonl"
    config {
      path = local.changes
    }
  }
  output {
    provider = "console"
    config {
      output_format = "simple"
    }
  }
}
