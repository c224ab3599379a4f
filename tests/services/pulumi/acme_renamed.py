"""The plugin acme in a later version, which has `acme:stuff:GoodThing` in place of `acme:stuff:Thing`."""

from tests.services.pulumi import acme

acme.SCHEMA["resources"]["acme:stuff:GoodThing"] = acme.SCHEMA["resources"].pop("acme:stuff:Thing")
PLUGIN = acme.PLUGIN
