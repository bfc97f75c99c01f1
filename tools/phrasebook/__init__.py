"""The parallel phrasebook: its grammar, corpus, speech sets and training."""
