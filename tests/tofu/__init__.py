"""A differential test against OpenTofu: random configurations of `terraform_data` and random edits, applied by both.

    configuration  a configuration: blocks with repetition, references and lifecycle, and its HCL
    edits          random edits of a configuration
    steps          the steps of a seed: configuration and options of each apply
    data_provider  a dstream provider that behaves as OpenTofu's built-in `terraform_data`
    results        what one step shows: plan, order, outcome, next plan
    opentofu       the results of OpenTofu
    engine         the results of dstream, in this process
    compare        the differences between the two, with the rules for the differences that are meant
    ordering       what the order of an apply has to respect
    golden         the recorded results of OpenTofu, for machines without it

Run seeds: `python -m tests.tofu FIRST [LAST]`. Write the golden files: `python -m tests.tofu --golden`.
"""
