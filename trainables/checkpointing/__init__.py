"""Files that a training run keeps: trunks (warm-ups that trials share), checkpoints, networks. Imports `files` and
`config`; torch and safetensors.
"""
