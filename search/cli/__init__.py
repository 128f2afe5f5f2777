"""The command `tosmooth`: options and settings in, words and exit codes out. Imports every package, each only once it
is needed: `tosmooth --help` loads none of the heavy libraries.
"""
