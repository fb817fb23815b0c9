"""The operations of the deals domain: functions over an open session, so that callers compose them."""
