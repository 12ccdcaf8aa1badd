"""Task families: distributions of small trainings, each a function of its seed."""
