# An input written in ten lines of Python: with a schema, checked settings, checkpoints and a graceful stop.
#
#     dstream apply -auto-approve
#     dstream run squares

task "squares" {
  input {
    provider_path = "./squares.py"
    config {
      up_to = 5
    }
  }
  output {
    provider = "jsonl"
    config {
      path = "squares.jsonl"
    }
  }
}
