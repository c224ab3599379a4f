"""The secrets that a text is made of are known by where they came from."""

from dstream.config import load_text
from dstream.lang import Module, evaluate
from dstream.lang.secret_texts import SecretTexts

CONFIGURATION = """
variable "password" {
  default   = "hunter22"
  sensitive = true
}
variable "open" {
  default = "nothing"
}
locals {
  all = "${var.password} ${env("TOKEN")} ${sensitive("made up")} ${nonsensitive(env("STAGE"))} ${var.open}"
}
"""


def test_a_text_is_known_to_be_made_of_secrets_and_no_other():
    secrets = SecretTexts()
    secrets.add({"a": ["hunter2"], "b": "s3cret\n"})
    secrets.add("abc")
    assert secrets.within(["Bearer hunter2", "abc"]) == {"hunter2"}
    assert secrets.within(["s3cret"]) == {"s3cret"} and secrets.within([]) == set()


def test_what_is_said_to_be_no_secret_is_none():
    secrets = SecretTexts()
    secrets.open("production")
    secrets.add("production")
    assert secrets.within(["production"]) == set()


def test_variables_the_environment_and_functions_say_what_is_secret():
    module = Module(load_text(CONFIGURATION), env={"TOKEN": "t0ken", "STAGE": "production"})
    text = evaluate(module.config.locals["all"].expr, module.scope()).value
    assert text == "hunter22 t0ken made up production nothing"
    assert module.surroundings.secret_texts.within([text]) == {"hunter22", "t0ken", "made up"}
