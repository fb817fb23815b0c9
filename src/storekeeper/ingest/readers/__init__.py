"""Files as pieces of rows: files.py finds and opens them, text_input.py unpacks them, an *_input.py reads each kind.

What they hand on is in piece.py. held.py keeps what can be read only once.
"""
