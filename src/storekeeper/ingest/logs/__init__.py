"""Raw log lines as documents, pure: what each format's lines say, and which lines are one message.

`line.py` has the values, `formats.py` the table of formats with one module a family, `calendar.py` makes instants of
what lines say of time, `messages.py` joins lines into documents, and `traces.py` tells a stack trace from a message.
"""
