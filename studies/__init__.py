"""The studies that come with tosmooth: a YAML file each, choices and no computation."""
