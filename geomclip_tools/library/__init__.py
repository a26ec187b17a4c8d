"""Libraries of molecules that are found by words: an index on disk, additions and searches."""
