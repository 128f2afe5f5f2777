"""Networks: ours, those of torchvision and timm with their weights, and a user's own; features of frozen ones.

May import `data`, `user_code` and what is below them.
"""
