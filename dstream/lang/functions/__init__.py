"""The functions of the language, by subject. They behave as Terraform's functions of the same names."""
