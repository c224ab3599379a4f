# The counter again, with its settings on one line.
task "oci-validation" {
  type = "providers"

  input {
    provider_path = "./counter-input-provider"
    config = { interval = 10, max_count = 5 }
  }

  output {
    provider_path = "./console-output-provider"
    config = { outputFormat = "simple" }
  }
}
