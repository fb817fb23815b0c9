"""What a revision with `online = True` is made of: steps that stop no writer, each of which may be taken again.

| file | what |
| --- | --- |
| `steps.py` | a brief step, a lasting one, a question: how each meets the locks of others |
| `retrying.py` | again, after a pause, while others hold what is wanted |
| `indexes.py` `checks.py` `columns.py` | what is made, and taken back |
| `backfill.py` | rows, in batches, from a checkpoint on |
"""
