"""Downloads: polite, persistent, resumed."""
