"""What `generate.py` makes of `definitions/`. Not to be edited, nor imported from outside this room."""
