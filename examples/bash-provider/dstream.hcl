# An input written in ten lines of bash.
#
#     dstream apply -auto-approve
#     dstream run clock

task "clock" {
  input {
    provider_path = "./clock.sh"
    config {
      beats = 3
    }
  }
  output {
    provider = "console"
  }
}
