"""The training loop and its parts: networks, batches, schedule, metrics, objective. Imports all of `trainables` but
`analysis`; torch.
"""
