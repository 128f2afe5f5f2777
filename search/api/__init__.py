"""What Python code of a user's calls, and what the command shares with it: studies and settings found, a study run in a
process of its own, its result. Imports every package but `cli`, each once it is needed: `import tosmooth` is light.
"""
