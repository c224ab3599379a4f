"""The dependency lock file: which content of which provider a configuration executes, and how it is installed."""
