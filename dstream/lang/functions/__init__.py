"""The functions of the language, by subject. They give what Terraform's functions of the same names give."""
