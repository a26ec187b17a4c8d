"""Download files politely, with retries and resumption."""
