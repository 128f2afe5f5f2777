"""Check everything that a study needs around it and say what to do: `tosmooth doctor`. Imports `preflight`, `storage`,
`tracking` and `run`.
"""
